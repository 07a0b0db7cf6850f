//! What this process has used.

use wheelfarm_tests::anyhow::{Context, Result};

/// Units of times in `/proc`, in a second: `USER_HZ`, which is 100 on all Linux that is in use.
const TICKS: f64 = 100.0;

/// Processor time of this process so far, user and system, in seconds. See proc(5).
pub(super) fn processor() -> Result<f64> {
    let text = fs_err::read_to_string("/proc/self/stat")?;
    // The second field is the program's name, and may have spaces and brackets.
    let (_, fields) = text.rsplit_once(") ").context("proc has another form")?;
    let mut ticks = 0.0;
    for field in fields.split(' ').skip(11).take(2) {
        ticks += field.parse::<f64>()?;
    }
    Ok(ticks / TICKS)
}

/// Memory that this process has now, in MB.
pub(super) fn resident() -> Result<f64> {
    let text = fs_err::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line
        .context("there is no VmRSS")?
        .trim()
        .trim_end_matches(" kB");
    Ok(kilobytes.parse::<f64>()? * 1024.0 / 1e6)
}

/// The middle one of `values`; of an even number the upper.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Bytes that nothing compresses and no other `seed` has.
pub(super) fn noise(size: usize, seed: u64) -> Vec<u8> {
    // SplitMix64, by Sebastiano Vigna: https://prng.di.unimi.it/splitmix64.c
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    });
    words.flatten().take(size).collect()
}
