//! Gives the engine an image that was made elsewhere.

use bollard::query_parameters::ImportImageOptionsBuilder;
use futures::StreamExt;
use tokio_util::io::ReaderStream;
use wheelfarm_build::action::ExecutorErrorKind;

use crate::docker::Docker;
use crate::docker::error::engine;
use crate::error::{Result, error};

impl Docker {
    /// Loads the image in `archive`, a tar file as `docker save` writes it, which is called `name` there. Returns the id
    /// that the engine knows it by.
    pub async fn load(&self, archive: std::fs::File, name: &str) -> Result<String> {
        let stream = ReaderStream::new(tokio::fs::File::from_std(archive));
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let body = bollard::body_try_stream(stream);
        let mut messages = self.shared.transfer.import_image(options, body, None);
        while let Some(message) = messages.next().await {
            message.map_err(engine(format!("load the image {name}")))?;
        }
        let loaded = self.shared.inspect(name).await?;
        loaded.and_then(|image| image.id).ok_or_else(|| {
            let message = format!("the container engine loaded {name}, but does not have it");
            error(ExecutorErrorKind::Engine, message)
        })
    }
}
