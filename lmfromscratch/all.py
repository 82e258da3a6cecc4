"Everything that the chapters export, in chapter order: `from lmfromscratch.all import *`"
from .data import *
from .rnn import *
from .state import *
from .deep import *
from .lstm import *
from .regularize import *
from .train import *
from .generate import *
from .numpy_rnn import *
from .gru import *
from .unrolled import *
from .runs import *
from .awdlstm import *
from .reading import *
from .verses import *
from .export import *
from .page import *
