// Texts that the models have not read: verses of the King James Bible, and speeches from the last tenth of
// the plays. Both were held out of the training.

export const heldOut = {
  bible: [
    '<Isaiah>\tAnd there shall come forth a rod out of the stem of Jesse, and a Branch shall grow out ' +
      'of his roots:\n',
    '<Mark>\tAll these evil things come from within, and defile the man.\n',
    '<1 Kings>\tAnd the king said, Bring me a sword. And they brought a sword before the king.\n',
    "<Ecclesiastes>\tA good name is better than precious ointment; and the day of death than the day of " +
      "one's birth.\n",
    '<Judges>\tSo God subdued on that day Jabin the king of Canaan before the children of Israel.\n',
    '<Luke>\tAnd he ran before, and climbed up into a sycomore tree to see him: for he was to pass that ' +
      'way.\n',
    '<Proverbs>\tLabour not to be rich: cease from thine own wisdom.\n',
    '<Deuteronomy>\tThy raiment waxed not old upon thee, neither did thy foot swell, these forty years.\n',
    '<2 Samuel>\tSo when they had gone through all the land, they came to Jerusalem at the end of nine ' +
      'months and twenty days.\n',
    '<Proverbs>\tWhoso despiseth the word shall be destroyed: but he that feareth the commandment shall ' +
      'be rewarded.\n',
    '<Proverbs>\tIt is as sport to a fool to do mischief: but a man of understanding hath wisdom.\n',
    '<Job>\tThey spend their days in wealth, and in a moment go down to the grave.\n',
    '<Job>\tHast thou not poured me out as milk, and curdled me like cheese?\n',
    '<Zechariah>\tAnd he answered me and said, Knowest thou not what these be? And I said, No, my lord.\n',
    '<Psalms>\tMy soul followeth hard after thee: thy right hand upholdeth me.\n',
    '<Colossians>\tWalk in wisdom toward them that are without, redeeming the time.\n',
    '<Job>\tHe hath stripped me of my glory, and taken the crown from my head.\n',
    '<Revelation>\tHe that hath an ear, let him hear what the Spirit saith unto the churches.\n',
    '<Psalms>\tFor there are no bands in their death: but their strength is firm.\n',
    '<1 Chronicles>\tThe three and twentieth to Mahazioth, he, his sons, and his brethren, were twelve:\n'],
  shakespeare: [
    'PETRUCHIO:\nI am content you shall entreat me stay;\nBut yet not stay, entreat me how you can.\n',
    "TRANIO:\nFear you not him. Sirrah Biondello,\nNow do your duty throughly, I advise you:\nImagine " +
      "'twere the right Vincentio.\n",
    "BIONDELLO:\nO master, master, I have watch'd so long\nThat I am dog-weary: but at last I spied\nAn " +
      "ancient angel coming down the hill,\nWill serve the turn.\n",
    'GONZALO:\nSir, we were talking that our garments seem now\nas fresh as when we were at Tunis at ' +
      'the marriage\nof your daughter, who is now queen.\n',
    'GRUMIO:\nA cold world, Curtis, in every office but thine; and\ntherefore fire: do thy duty, and ' +
      'have thy duty; for\nmy master and mistress are almost frozen to death.\n',
    'PROSPERO:\nMy brave spirit!\nWho was so firm, so constant, that this coil\nWould not infect his ' +
      'reason?\n',
    'ALONSO:\nWhat, all so soon asleep! I wish mine eyes\nWould, with themselves, shut up my thoughts: ' +
      'I find\nThey are inclined to do so.\n',
    'VINCENTIO:\nHis name! as if I knew not his name: I have brought\nhim up ever since he was three ' +
      'years old, and his\nname is Tranio.\n',
    "BIONDELLO:\nI told him that your father was at Venice,\nAnd that you look'd for him this day in " +
      "Padua.\n",
    'TRANIO:\nAy, mistress, and Petruchio is the master;\nThat teacheth tricks eleven and twenty ' +
      'long,\nTo tame a shrew and charm her chattering tongue.\n',
    'GREMIO:\nNo doubt but he hath got a quiet catch.\nBut now, Baptists, to your younger ' +
      'daughter:\nNow is the day we long have looked for:\nI am your neighbour, and was suitor first.\n',
    'PETRUCHIO:\nDo, good old grandsire; and withal make known\nWhich way thou travellest: if along ' +
      'with us,\nWe shall be joyful of thy company.\n',
    'BIONDELLO:\nForgot you! no, sir: I could not forget you, for I\nnever saw you before in all my ' +
      'life.\n',
    "ANTONIO:\nWe are merely cheated of our lives by drunkards:\nThis wide-chapp'd rascal--would thou " +
      "mightst lie drowning\nThe washing of ten tides!\n"],
}
