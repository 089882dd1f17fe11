//! The disk of SQLite's file is full, and is freed again.
//!
//! It needs a small file system of its own, and so the right to mount one: without it the scenario says so and is skipped.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Course, DatabaseKind, Wish,
    checker::Verdict,
    scenarios::{
        A_CRASH, REPLIES, Scenario, tell_answers, under_load, until_it_says_that_nothing_is_taken, until_ready,
        until_some_moment,
    },
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "disk-full",
    about: "the disk under SQLite's file is full, then freed (needs the right to mount)",
    databases: &[DatabaseKind::Sqlite],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let Some(disk) = SmallDisk::mount()? else {
        return Ok(Verdict::skipped("no file system can be mounted here"));
    };
    let database_folder = Some(disk.folder.clone());
    let wish =
        Wish { messages_per_second: 100, load_per_second: 80, replies: REPLIES, database_folder, ..Wish::default() };
    under_load(course, wish, A_CRASH, async |stage, dice| {
        until_some_moment(dice, 300..2_000).await;
        disk.fill();
        // There may be room left in the file.
        let meantime = async {
            let told = until_it_says_that_nothing_is_taken(stage).await;
            until_some_moment(dice, 2_000..4_000).await;
            told
        };
        tell_answers("with a full disk", stage, meantime).await?;
        disk.free()?;
        until_ready(stage).await
    })
    .await
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
