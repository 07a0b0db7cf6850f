//! One suite, all engines.

/// Makes a test of each of these functions for every engine: of `sees_nothing` in `run.rs`, the tests
/// `run::docker::sees_nothing`, `run::podman::sees_nothing` and so on.
macro_rules! on_every_engine {
    ($($test:ident),* $(,)?) => {
        tests_on! { docker Docker [$($test)*] }
        tests_on! { podman Podman [$($test)*] }
        tests_on! { rootless_podman RootlessPodman [$($test)*] }
        tests_on! { sandbox Sandbox [$($test)*] }
    };
}

/// The same for those behind Docker's interface.
macro_rules! on_docker_and_podman {
    ($($test:ident),* $(,)?) => {
        tests_on! { docker Docker [$($test)*] }
        tests_on! { podman Podman [$($test)*] }
        tests_on! { rootless_podman RootlessPodman [$($test)*] }
    };
}

macro_rules! tests_on {
    ($module:ident $kind:ident [$($test:ident)*]) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    let engine = crate::engine::Engine::of(crate::engine::Kind::$kind);
                    if let Some(engine) = engine.await {
                        super::$test(engine).await;
                    }
                }
            )*
        }
    };
}
