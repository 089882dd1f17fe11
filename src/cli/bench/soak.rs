//! Does memory stay the same? The whole circle goes on at a steady rate, far below what the bridge could, for as long as one
//! likes, and what is resident is looked at every few seconds. Growth shows between the second third and the last: the first
//! fills caches.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::{
    circle,
    load::LoadFigures,
    load_figures_within, median, phase,
    report::{Target, megabytes},
    scene::{FAST_NUMBER, Scene},
    start_load,
};

const PER_SECOND: u64 = 300;
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Of the last third, as a multiple of the second's.
const GROWTH_MAX: f64 = 1.05;

#[derive(Debug, Default, Serialize)]
pub(super) struct SoakFigures {
    minutes: u64,
    /// What was resident in the bridge, every five seconds.
    memory_bytes: Vec<u64>,
    pub(super) load: LoadFigures,
}

/// Nothing when it was not asked for.
pub(super) async fn measure(scene: &Scene, minutes: u64) -> anyhow::Result<Option<SoakFigures>> {
    if minutes == 0 {
        return Ok(None);
    }
    let time = Duration::from_secs(minutes * 60);
    let bar = phase(&format!("the whole circle at {PER_SECOND} messages a second, {minutes} minutes"), time.as_secs());
    let load = start_load(&scene.launcher, scene.bridge_address, FAST_NUMBER, "soak", circle::CONNECTIONS, |load| {
        load.extend(["--seconds".to_owned(), time.as_secs().to_string()]);
        load.extend(["--rate".to_owned(), PER_SECOND.to_string()]);
    })?;
    let mut memory_bytes = Vec::new();
    let watch = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            memory_bytes.extend(scene.bridge.memory_bytes());
        }
    };
    let load = tokio::select! {
        load = load_figures_within(load, time, &bar) => load?,
        () = watch => unreachable!("it watches until the load ends"),
    };
    circle::come_round(scene, load.answers - load.not_successful, &bar).await?;
    bar.finish_and_clear();
    scene.control("POST", "/control/reset", "").await?;
    Ok(Some(SoakFigures { minutes, memory_bytes, load }))
}

impl SoakFigures {
    /// The medians of the second third and the last.
    fn thirds(&self) -> (f64, f64) {
        let third = self.memory_bytes.len() / 3;
        let median_of = |bytes: &[u64]| median(bytes.iter().map(|bytes| *bytes as f64));
        (median_of(&self.memory_bytes[third..2 * third]), median_of(&self.memory_bytes[2 * third..]))
    }

    pub(super) fn targets(&self) -> Vec<Target> {
        let (second, last) = self.thirds();
        vec![Target::at_most(
            "memory in the last third of the soak, as a multiple of that in the second",
            GROWTH_MAX,
            last / second.max(1.0),
        )]
    }

    pub(super) fn write(&self, text: &mut String) -> std::fmt::Result {
        let (second, last) = self.thirds();
        writeln!(
            text,
            "\nSoak: {} minutes, {} messages through the whole circle at {PER_SECOND}/s; memory of the bridge {} in the second third, {} \
             in the last",
            self.minutes,
            self.load.answers,
            megabytes(Some(second as u64)),
            megabytes(Some(last as u64))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_after_the_beginning_is_noticed() {
        let met = |memory_bytes: &[u64]| {
            let soak = SoakFigures { memory_bytes: memory_bytes.to_vec(), ..SoakFigures::default() };
            soak.targets().iter().all(|target| target.met)
        };
        assert!(met(&[10, 50, 100, 100, 101, 104]));
        assert!(!met(&[100, 100, 100, 100, 110, 120]));
    }
}
