//! What was heard: level, audible or silent, and the dominant frequency.

/// Level of a full-scale sine in dBm0 (the mu-law overload point of ITU-T G.711).
pub const FULL_SCALE_SINE_DBM0: f64 = 3.17;
