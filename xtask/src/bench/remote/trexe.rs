//! The engine's own client, `trexe` of buildbox: what one who wants no more than the engine gives has to wait for.

use wheelfarm_tests::anyhow::{Context, Result, ensure};

use super::engine::{Engine, FILE_SIZE, FILES};

/// Where its files lie.
const INPUTS: &str = "/tmp/bench/in";
/// Runs it once, and prints seconds: wall, user and system. What it fetches goes to a new directory.
const SCRIPT: &str = include_str!("trexe.sh");

/// What one of its processes took, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) wall: f64,
    pub(super) processor: f64,
}

pub(super) struct Trexe<'a> {
    engine: &'a Engine,
    properties: String,
}

impl<'a> Trexe<'a> {
    /// Puts as many inputs there as ours have.
    pub(super) fn prepare(engine: &'a Engine, root: &str) -> Result<Self> {
        let make =
            "mkdir -p $0; for n in $(seq 0 $1); do head -c $2 /dev/urandom >$0/file-$n; done";
        let (last, size) = ((FILES - 1).to_string(), FILE_SIZE.to_string());
        engine.run(&["bash", "-euc", make, INPUTS, &last, &size])?;
        let mut properties = vec![format!("chrootRootDigest={root}")];
        let others = engine.properties();
        properties.extend(others.iter().map(|(name, value)| format!("{name}={value}")));
        Ok(Self {
            engine,
            properties: properties.join(","),
        })
    }

    /// Has `script` run and fetches what it leaves; another action for each `number`.
    pub(super) fn run(&self, script: &str, number: usize, cached: bool) -> Result<Cost> {
        let number = number.to_string();
        let address = self.engine.address_inside();
        let cached = format!("\"cachedResult\":{cached}");
        let words = [
            "bash",
            "-euc",
            SCRIPT,
            "trexe",
            address,
            &self.properties,
            INPUTS,
            &number,
            script,
            &cached,
        ];
        let told = self.engine.run(&words)?;
        let figures: Vec<f64> = told
            .split_ascii_whitespace()
            .map(|word| word.parse().with_context(|| format!("trexe: {told}")))
            .collect::<Result<_>>()?;
        ensure!(figures.len() == 3, "trexe: {told}");
        Ok(Cost {
            wall: figures.first().copied().unwrap_or_default(),
            processor: figures.iter().skip(1).sum(),
        })
    }
}
