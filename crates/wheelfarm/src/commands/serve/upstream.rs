//! Which index answers for what the farm does not have.

use std::time::Duration;

use wheelfarm_index::UpstreamSettings;
use wheelfarm_resolve::inputs::IndexOptions;

use crate::cli::serve::ServeArgs;
use crate::config::Upstream;
use crate::exit::Failure;
use crate::index_settings;
use crate::printer::Printer;

/// The settings of the index behind this one, if there is to be one. It is said which, as it depends on the user's
/// configuration.
pub(super) async fn settings(
    args: &ServeArgs,
    config: &Upstream,
    printer: Printer,
) -> Result<Option<UpstreamSettings>, Failure> {
    let enabled = match &args.upstream {
        _ if args.no_upstream => Some(false),
        Some(_) => Some(true),
        None => config.enabled,
    };
    if enabled == Some(false) {
        return Ok(None);
    }
    let (mut access, _) = index_settings::read(&IndexOptions::default());
    let named = args.upstream.clone().filter(|url| !url.is_empty());
    let named = named.or_else(|| config.url.clone());
    let url = match named.or_else(|| index_settings::configured_index(&access)) {
        Some(url) => url,
        // The default index of all is not asked unless somebody says so: names of a farm are nobody's business.
        None if enabled.is_none() => return Ok(None),
        None => index_settings::default_index_of_pip()
            .await
            .ok_or_else(|| {
                Failure::usage("no index to fall back to: none is configured for pip, uv or here")
                    .with_hint(Some(
                        "name one: `--upstream URL`, or `url` below `[index.upstream]`".to_owned(),
                    ))
            })?,
    };
    // In front: the address that is named counts more than what files say of its host.
    access
        .credentials
        .splice(0..0, index_settings::credential(&url));
    printer.always(format_args!(
        "what is not here comes from {}",
        index_settings::without_credentials(&url)
    ));
    let mut settings = UpstreamSettings::new(url, access);
    settings.pins = config.pins();
    if let Some(channels) = &config.channels {
        settings.channels = channels.iter().cloned().collect();
    }
    let duration = |time: crate::config::Seconds| Duration::from_secs(time.number());
    settings.cool_down = config.exclude_newer.map(duration);
    settings.fresh_for = config.fresh_for.map_or(settings.fresh_for, duration);
    Ok(Some(settings))
}
