from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    b=p.chromium.launch(executable_path='/usr/bin/chromium',args=['--no-sandbox','--allow-file-access-from-files'])
    for n,w in (('regularize',1200),('regularize',390)):
        pg=b.new_page(viewport=dict(width=w,height=900)); pg.goto(f'file:///work/wt_c6/_docs/{n}.html'); pg.wait_for_timeout(500)
        print(n, pg.evaluate('document.documentElement.scrollWidth'), pg.evaluate('document.body.scrollHeight'))
        pg.screenshot(path=f'/tmp/w/c6/shot_{w}.png',full_page=True,clip=dict(x=0,y=0,width=w,height=3600)); pg.close()
    b.close()
