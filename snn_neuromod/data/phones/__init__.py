"""Phone corpora, speech features and framewise data sets.

`corpus` says what a corpus is. `espeak` synthesises English, `festvox` reads the Russian recordings
of Debian's festvox-ru, `timit` TIMIT, `folder` whatever follows TIMIT's folder conventions; `labels`
holds the label sets, `audio` reads the files. `features` computes
features, `extraction` keeps them on disk, `frames` holds the framewise data sets, `spikes` the same
as events; `recordings` reads audio that has no labels.
"""

from snn_neuromod.data.phones.corpus import Corpus, Segment, Utterance
from snn_neuromod.data.phones.espeak import EspeakCorpus
from snn_neuromod.data.phones.features import Mfcc
from snn_neuromod.data.phones.festvox import FestvoxRussian
from snn_neuromod.data.phones.folder import TimitFolder
from snn_neuromod.data.phones.frames import FrameBatch, FramePieces, PhoneFrames
from snn_neuromod.data.phones.labels import RUSSIAN_LABELS, TIMIT_LABELS, fold
from snn_neuromod.data.phones.recordings import Recordings
from snn_neuromod.data.phones.spikes import PhoneSpikes
from snn_neuromod.data.phones.timit import Timit

__all__ = [
    "RUSSIAN_LABELS",
    "TIMIT_LABELS",
    "Corpus",
    "EspeakCorpus",
    "FestvoxRussian",
    "FrameBatch",
    "FramePieces",
    "Mfcc",
    "PhoneFrames",
    "PhoneSpikes",
    "Recordings",
    "Segment",
    "Timit",
    "TimitFolder",
    "Utterance",
    "fold",
]
