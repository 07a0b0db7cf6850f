//! A PostgreSQL server: stands in for `postgres:15`, as far as tests of applications go.

use wheelfarm_tests::anyhow::Result;

use super::root::Root;

const ENTRYPOINT: &str = include_str!("postgres.sh");
/// The package would make a cluster of its own; here the entry point makes one where PGDATA says.
const NO_CLUSTER: &str = r#"mkdir -p "$1"/etc/postgresql-common && echo 'create_main_cluster = false' >"$1"/etc/postgresql-common/createcluster.conf"#;
/// Where data and the socket go; and no key that everybody who has the image knows.
const PLACES: &str = r#"chroot "$1" sh -c 'rm -rf /run/* && install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data && install -d -o postgres -g postgres -m 3777 /run/postgresql && rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem'"#;

pub(super) fn make(image: &str) -> Result<()> {
    let mut root = Root::new("debian-12", &["postgresql-15", "ca-certificates", "tzdata"])?;
    root.before_packages(NO_CLUSTER);
    root.after_packages(PLACES);
    root.keep_run();
    root.file("/usr/local/bin/docker-entrypoint.sh", ENTRYPOINT, 0o755)?;
    root.import(
        image,
        &[
            "ENV LANG=C.UTF-8",
            "ENV PATH=/usr/local/bin:/usr/lib/postgresql/15/bin:/usr/bin:/bin",
            "ENV PGDATA=/var/lib/postgresql/data",
            "VOLUME /var/lib/postgresql/data",
            "USER postgres",
            "EXPOSE 5432",
            r#"ENTRYPOINT ["docker-entrypoint.sh"]"#,
            r#"CMD ["postgres"]"#,
        ],
    )
}
