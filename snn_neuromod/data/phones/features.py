r"""Speech features: mel-frequency cepstral coefficients with their first and second differences.

Frame i covers the samples [i h, i h + w) with the hop h and the window w, 160 and 400 samples at 16 kHz. Only whole
windows count: n samples give 1 + floor((n - w) / h) frames. The label of a frame is that of the segment that holds the
sample at its centre, i h + floor(w / 2).

The cepstrum is kaldi-native-fbank's: offset removed per window, pre-emphasis 0.97, Povey window, power spectrum, mel
filters from 20 Hz to half the sampling rate, logarithm, discrete cosine transform, lifter 22. The first coefficient is
the zeroth of the transform. Nothing is random (no dither); samples are in [-1, 1], where the library's floor of the
filter energies, 1.2e-7, is about the quantisation noise of 16 bits, so digital silence is no outlier.

Differences are the regression over two frames to either side, the edge frames repeated beyond the edges:

$$
d_t = \frac{\sum_{n=1}^{2} n\, (c_{t+n} - c_{t-n})}{2 \sum_{n=1}^{2} n^2}
$$

References:
    S. Young et al., The HTK Book (2006), equation 5.16 (differences).
    G. Bellec et al., Nat. Commun. 11:3625 (2020), Methods (39 channels, 25 ms, 10 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snn_neuromod.data.phones.corpus import Segment
from snn_neuromod.errors import ConfigError

__all__ = ["IGNORE", "Mfcc", "differences", "frame_labels"]

IGNORE = -100
"""Class of frames that have no label, which PyTorch's losses leave out."""

_REACH = 2  # frames to either side in a difference


@dataclass(frozen=True)
class Mfcc:
    """Settings of the features; calling it computes them.

    Args:
        num_coefficients: Highest coefficient, counted from 1, in [1, num_filters].
        first: Lowest coefficient: 1 keeps all, 2 leaves out the loudness (coefficients 2-13).
        differences: 2 adds first and second differences, 1 the first, 0 none.
        num_filters: Mel filters, >= 3.
        window_ms: Window in ms.
        hop_ms: Step from frame to frame in ms.
        rate: Samples per second that the audio must have.

    Raises:
        ValueError: If an argument is out of its range, or window or hop are no whole number of samples.
        ImportError: When called, if kaldi-native-fbank is not installed.

    Example:
        >>> mfcc = Mfcc()
        >>> mfcc.num_channels, Mfcc(first=2).num_channels, mfcc.num_frames(16_000)
        (39, 36, 98)
    """

    num_coefficients: int = 13
    first: int = 1
    differences: int = 2
    num_filters: int = 26
    window_ms: float = 25.0
    hop_ms: float = 10.0
    rate: int = 16_000

    def __post_init__(self) -> None:
        if not self.num_filters >= 3:
            raise ConfigError(f"Mfcc: num_filters must be at least 3, got {self.num_filters}")
        if not 1 <= self.num_coefficients <= self.num_filters:
            raise ConfigError(
                f"Mfcc: num_coefficients must lie in [1, num_filters = {self.num_filters}], "
                f"got {self.num_coefficients}"
            )
        if not 1 <= self.first <= self.num_coefficients:
            raise ConfigError(
                f"Mfcc: first must lie in [1, num_coefficients = {self.num_coefficients}], "
                f"got {self.first}"
            )
        if self.differences not in (0, 1, 2):
            raise ConfigError(f"Mfcc: differences must be 0, 1 or 2, got {self.differences}")
        if not self.rate >= 1000:
            raise ConfigError(f"Mfcc: rate must be at least 1000 samples/s, got {self.rate}")
        for name in ("window_ms", "hop_ms"):
            value = getattr(self, name)
            if not value > 0 or (value * self.rate / 1000) % 1:
                raise ConfigError(
                    f"Mfcc: {name} must be a whole number of samples, at least 1, at {self.rate} "
                    f"samples/s, got {value} ms"
                )

    @property
    def window(self) -> int:
        """Samples of a window."""
        return int(self.window_ms * self.rate / 1000)

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return int(self.hop_ms * self.rate / 1000)

    @property
    def num_channels(self) -> int:
        """Features per frame."""
        return (self.num_coefficients - self.first + 1) * (1 + self.differences)

    def num_frames(self, num_samples: int) -> int:
        """Frames of a recording of `num_samples` samples."""
        return max(0, 1 + (num_samples - self.window) // self.hop)

    def centres(self, num_frames: int) -> NDArray[np.int64]:
        """The sample at the centre of each frame."""
        return np.arange(num_frames, dtype=np.int64) * self.hop + self.window // 2

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of a recording.

        Args:
            samples: One channel at `rate`, in [-1, 1], at least one window long.

        Returns:
            float32, shape (frames, num_channels): coefficients, first, second differences.

        Raises:
            ValueError: If the samples are of another shape, too short or not finite.
        """
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 1 or len(samples) < self.window:
            raise ConfigError(
                f"Mfcc: samples must be of one channel and at least one window ({self.window}) "
                f"long, got shape {samples.shape}"
            )
        if not np.isfinite(samples).all():
            raise ConfigError("Mfcc: samples must be finite, got NaN or infinity")
        parts = [self._cepstrum(samples)[:, self.first - 1 :]]
        for _ in range(self.differences):
            parts.append(differences(parts[-1]))
        return np.concatenate(parts, axis=1)

    def _cepstrum(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            import kaldi_native_fbank as kaldi
        except ImportError as error:
            raise ImportError(
                "Mfcc: kaldi-native-fbank must be installed; run pip install 'snn-neuromod[audio]'"
            ) from error
        options = kaldi.MfccOptions()
        frame = options.frame_opts
        frame.samp_freq, frame.dither, frame.snip_edges = self.rate, 0.0, True
        frame.frame_length_ms, frame.frame_shift_ms = self.window_ms, self.hop_ms
        frame.preemph_coeff, frame.remove_dc_offset, frame.window_type = 0.97, True, "povey"
        options.mel_opts.num_bins, options.mel_opts.low_freq = self.num_filters, 20
        options.num_ceps, options.cepstral_lifter = self.num_coefficients, 22
        options.use_energy, options.htk_compat = False, False
        extractor = kaldi.OnlineMfcc(options)
        extractor.accept_waveform(self.rate, samples.tolist())
        extractor.input_finished()
        # get_frame shows memory of the extractor's.
        frames = [extractor.get_frame(i) for i in range(extractor.num_frames_ready)]
        return np.array(frames, dtype=np.float32)


def differences(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Regression of features (frames, channels) over two frames to either side; the same shape.

    Example:
        >>> differences(np.array([[0], [1], [2], [3], [4]], dtype=np.float32))[2].tolist()
        [1.0]
    """
    padded = np.pad(features, ((_REACH, _REACH), (0, 0)), mode="edge")
    frames = len(features)
    total: NDArray[np.float32] = np.zeros_like(features)
    for n in range(1, _REACH + 1):
        later = padded[_REACH + n : _REACH + n + frames]
        earlier = padded[_REACH - n : _REACH - n + frames]
        total += n * (later - earlier)
    total /= 2 * sum(n * n for n in range(1, _REACH + 1))
    return total


def frame_labels(
    segments: Sequence[Segment],
    centres: NDArray[np.int64],
    labels: Sequence[str],
    *,
    silence: str,
) -> NDArray[np.int64]:
    """Class of each frame: that of the segment that holds its centre.

    Args:
        segments: Segments in order of time, without overlap.
        centres: Samples at the centres of the frames.
        labels: Names of the classes; the index is the class.
        silence: Name of the class of frames outside all segments.

    Returns:
        int64, shape (frames,); all -100 if there are no segments, for audio without labels.

    Raises:
        ValueError: If a label is not among `labels`, or segments overlap.

    Example:
        >>> from collections import namedtuple
        >>> Phone = namedtuple("Phone", "start end label")
        >>> phones = [Phone(0, 200, "pau"), Phone(200, 500, "a")]
        >>> frame_labels(phones, Mfcc().centres(3), ["a", "pau"], silence="pau").tolist()
        [0, 0, 1]
    """
    if not segments:
        return np.full(len(centres), IGNORE, dtype=np.int64)
    classes = {label: index for index, label in enumerate(labels)}
    if unknown := {segment.label for segment in segments} - set(classes):
        raise ConfigError(
            f"frame_labels: segments must have labels of the corpus, got {sorted(unknown)}"
        )
    starts = np.array([segment.start for segment in segments])
    ends = np.array([segment.end for segment in segments])
    if (starts[1:] < ends[:-1]).any():
        raise ConfigError("frame_labels: segments must be in order and not overlap")
    # The last segment that starts at or before the centre; -1 before the first.
    found = np.searchsorted(starts, centres, side="right") - 1
    known = np.array([classes[segment.label] for segment in segments])
    inside = (found >= 0) & (centres < ends[found])
    return np.where(inside, known[found], classes[silence]).astype(np.int64)
