//! The disk of SQLite's file is full, and is freed again.
//!
//! It needs a small file system of its own, and so the right to mount one: without it the scenario says so and is skipped.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    say,
    scenarios::{Scenario, kill::TOLD_AND_NOT_NOTED_MAX, until_some_moment},
    stage::IN_FLIGHT_MAX,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "disk-full",
    about: "the disk under SQLite's file is full, then freed (needs the right to mount)",
    databases: &[DatabaseKind::Sqlite],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

const PER_SECOND: u32 = 100;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let Some(disk) = SmallDisk::mount()? else {
        say("  skipped: no file system can be mounted here");
        return Ok(Verdict::default());
    };
    let wish = Wish { messages_per_second: PER_SECOND, database_folder: Some(disk.folder.clone()), ..Wish::default() };
    let stage = course.stage(wish).await?;
    let mut dice = course.dice();
    let load = stage.load(80);
    for _ in 0..course.rounds {
        until_some_moment(&mut dice, 300..2_000).await;
        disk.fill();
        let (accepted, refusals) = (stage.journal.accepted(), stage.journal.refusals());
        until_some_moment(&mut dice, 2_000..4_000).await;
        let successes = stage.journal.accepted() - accepted;
        let refusals = stage.journal.refusals() - refusals;
        say(&format!(
            "  with a full disk: {successes} successes, while there was room in the file, {refusals} refusals"
        ));
        disk.free()?;
    }
    until_some_moment(&mut dice, 300..600).await;
    load.stop().await;
    let times = course.rounds as usize;
    let allowed = Allowed {
        messages_per_second: u64::from(PER_SECOND),
        unknown: times * IN_FLIGHT_MAX,
        told_twice: times * TOLD_AND_NOT_NOTED_MAX,
        ..Allowed::default()
    };
    course.end(stage, allowed).await
}

struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// `None` where that is not allowed.
    fn mount() -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?.keep();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "wabridge-faults"]).arg(&folder).stderr(Stdio::null());
        if mount.status().is_ok_and(|ended| ended.success()) {
            return Ok(Some(Self { folder }));
        }
        std::fs::remove_dir(&folder)?;
        Ok(None)
    }

    /// Writes until there is no room.
    fn fill(&self) {
        let Ok(mut file) = std::fs::File::create(self.filler()) else { return };
        while std::io::Write::write_all(&mut file, &[0; 4_096]).is_ok() {}
    }

    fn free(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.filler())
    }

    fn filler(&self) -> PathBuf {
        Path::new(&self.folder).join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["-l"]).arg(&self.folder).status());
        drop(std::fs::remove_dir(&self.folder));
    }
}
