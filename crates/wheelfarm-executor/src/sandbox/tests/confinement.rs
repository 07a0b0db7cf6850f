//! What a container may not do, and what it does not see.

use super::support::place;

/// Prints `name refused` for each command that fails, and `name done` for others.
const TRY: &str = "try() { n=$1; shift; if \"$@\" >/dev/null 2>&1; then echo $n done; else echo $n refused; fi; }\n";

#[tokio::test]
async fn a_build_has_no_rights() {
    let Some(place) = place().await else { return };
    let script = format!(
        "{TRY}try write touch /etc/x\ntry usr touch /usr/x\ntry mount mount -t tmpfs none /tmp\n\
         try unshare unshare -U true\ntry mountns unshare -m true\ntry tmp touch /tmp/x\n\
         try hosts sh -c 'echo >/etc/hosts'\ntry sysctl sh -c 'echo 1 >/proc/sys/vm/overcommit_memory'\n\
         try chroot chroot / true\ntry node mknod /tmp/n c 1 3\ntry host hostname other\n"
    );
    let printed = place.output("rights", &script).await;
    let done: Vec<_> = printed
        .lines()
        .filter(|line| line.ends_with("done"))
        .collect();
    assert_eq!(done, ["tmp done"], "{printed}");
    assert_eq!(printed.lines().count(), 11, "{printed}");
}

#[tokio::test]
async fn the_status_of_a_build_shows_its_confinement() {
    let Some(place) = place().await else { return };
    let printed = place
        .output("status", "cat /proc/self/status; ulimit -c; hostname")
        .await;
    let field = |name: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned()).unwrap()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("Uid:"), "65532\t65532\t65532\t65532");
    let tail: Vec<_> = printed.lines().rev().take(2).collect();
    assert_eq!(tail, ["wheelfarm", "0"]);
}

#[tokio::test]
async fn a_build_sees_itself_only() {
    let Some(place) = place().await else { return };
    let printed = place
        .output(
            "alone",
            "ls -d /proc/[0-9]* | wc -l; tail -n +3 /proc/net/dev | cut -d: -f1; cat /proc/keys /proc/kcore | wc -c; ls /dev",
        )
        .await;
    let mut lines = printed.lines();
    let processes: u32 = lines.next().unwrap().trim().parse().unwrap();
    // The shell, `ls` and `wc`.
    assert!(processes <= 4, "{printed}");
    assert_eq!(lines.next().map(str::trim), Some("lo"));
    assert_eq!(lines.next().map(str::trim), Some("0"));
    let devices: Vec<_> = lines.collect();
    for unwanted in ["kmsg", "mem", "sda", "vda", "kvm", "fuse"] {
        assert!(!devices.contains(&unwanted), "{printed}");
    }
    for wanted in ["null", "zero", "urandom", "shm", "pts"] {
        assert!(devices.contains(&wanted), "{printed}");
    }
}

#[tokio::test]
async fn memory_processes_and_places_are_bounded() {
    let Some(place) = place().await else { return };
    let mut container = place.container("places", "head -c 3000000 /dev/zero >/build/x");
    container.tmpfs[1].size = 1 << 20;
    let (ended, printed) = place.run(&container).await.unwrap();
    assert_eq!(ended.code, 1);
    assert!(printed.contains("No space left on device"), "{printed}");

    let script = "for n in $(seq 100); do sleep 600 & done; true";
    let mut container = place.container("pids", script);
    container.limits.as_mut().unwrap().pids = 20;
    let (ended, printed) = place.run(&container).await.unwrap();
    assert_ne!(ended.code, 0);
    assert!(printed.to_lowercase().contains("fork"), "{printed}");

    let hog = r"x=$(head -c 300000000 /dev/zero | tr '\0' x); echo survived";
    let mut container = place.container("memory", hog);
    container.limits.as_mut().unwrap().memory = 32 << 20;
    let (ended, printed) = place.run(&container).await.unwrap();
    assert!(!printed.contains("survived"));
    let is_counted = !place.machine.cgroups.unheld().memory;
    assert_eq!(ended.killed > 0, is_counted, "code {}", ended.code);
}

#[tokio::test]
async fn root_of_a_container_may_install_into_its_upper_layer_alone() {
    let Some(place) = place().await else { return };
    let script = format!(
        "{TRY}try file touch /etc/made\ntry owner chown 5:5 /etc/made\ntry group chgrp 6 /etc/made\n\
         try mount mount -t tmpfs none /tmp\ntry unshare unshare -m true\ntry usr touch /usr/x\n\
         try node mknod /etc/n b 8 0\n"
    );
    let mut container = place.container("root", &script);
    container.user = 0;
    container.limits = None;
    let upper = place.path().join("making/upper");
    place
        .machine
        .prepare(place.path(), "making/upper".as_ref())
        .unwrap();
    container.upper = Some("making/upper".into());
    let (ended, printed) = place.run(&container).await.unwrap();
    assert_eq!(ended.code, 0, "{printed}");
    let done: Vec<_> = printed
        .lines()
        .filter(|line| line.ends_with("done"))
        .collect();
    assert_eq!(done, ["file done", "owner done", "group done"], "{printed}");
    assert!(upper.join("etc/made").exists());
    assert!(!upper.join("etc/hosts").exists());
    place.remove("making/upper".as_ref()).await;
}
