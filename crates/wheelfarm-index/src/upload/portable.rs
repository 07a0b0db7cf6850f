//! Whether a wheel runs where its name says that it runs.

use http::StatusCode;
use wheelfarm_audit::{AuditReport, Finding, SYMBOLS, Verdict};
use wheelfarm_types::Target;

use crate::Problem;

/// How many reasons are named.
const REASONS: usize = 8;

/// Refuses a wheel whose platform tags its contents do not earn, with the first reason in the sentence and more below.
pub(crate) fn check(report: &AuditReport) -> Result<(), Problem> {
    let tags = &report.wheel.platforms;
    let bad = tags.iter().find(|tag| {
        let unearned = Finding::UnearnedTag {
            tag: (*tag).clone(),
        };
        tag.starts_with("linux_") || report.findings.contains(&unearned)
    });
    let Some(tag) = bad else {
        return Ok(());
    };
    let reasons = reasons(report, tag);
    let first = reasons.first().cloned().unwrap_or_default();
    let mut detail = reasons
        .into_iter()
        .skip(1)
        .take(REASONS)
        .collect::<Vec<_>>();
    detail.push(match report.earned_without_grafting {
        Some(earned) if !tags.contains(&earned.to_string()) => {
            format!("It runs on {earned} as it is: `wheelfarm repair` gives it that name.")
        }
        _ => "`wheelfarm repair`, where it was built, puts the libraries that it needs into it; a channel that allows unportable wheels takes it as it is.".to_owned(),
    });
    Err(Problem::new(
        StatusCode::BAD_REQUEST,
        format!("{}: {first}", report.wheel),
    )
    .with_detail(detail.join("\n")))
}

/// Why the wheel must not have this tag.
fn reasons(report: &AuditReport, tag: &str) -> Vec<String> {
    let (lead, verdict) = if tag.starts_with("linux_") {
        let lead = format!("the tag {tag} does not say on which systems it runs");
        // What keeps it from the policy that runs on fewest systems keeps it from all.
        let last = match report.earned_without_grafting {
            Some(_) => None,
            None => report.verdicts.last(),
        };
        (lead, last)
    } else if tag == "any" {
        let object = report.objects.first().map(|object| object.path.as_str());
        let lead = format!(
            "it is named for any platform and has compiled code ({})",
            object.unwrap_or_default()
        );
        (lead, None)
    } else {
        let target = tag.parse::<Target>().ok();
        (
            format!("it does not earn its tag {tag}"),
            target.and_then(|target| report.verdict(target)),
        )
    };
    let mut reasons = verdict.map(|it| of_verdict(report, it)).unwrap_or_default();
    if reasons.is_empty() {
        reasons.extend(others(report));
    }
    // The first stands in one sentence with what it is a reason for.
    match reasons.first_mut() {
        Some(first) if tag != "any" => *first = format!("{lead}: {first}"),
        _ => reasons.insert(0, lead),
    }
    reasons
}

/// What stands against a policy.
fn of_verdict(report: &AuditReport, verdict: &Verdict) -> Vec<String> {
    let libraries = verdict.grafts.iter().map(|soname| {
        let library = report.external.iter().find(|it| it.soname == *soname);
        let file = library.and_then(|it| it.needed_by.first());
        let file = file.map_or("it", String::as_str);
        format!(
            "{file} needs {soname}, which not every system of {} has",
            verdict.target
        )
    });
    libraries
        .chain(
            verdict
                .obstacles
                .iter()
                .map(|it| it.sentence(SYMBOLS, str::to_owned)),
        )
        .collect()
}

/// What there is to say where no policy judges.
fn others(report: &AuditReport) -> Vec<String> {
    if !report.has_objects() {
        return match report.findings.iter().find_map(foreign) {
            Some(reason) => vec![reason],
            None => vec!["it has no compiled code".to_owned()],
        };
    }
    match report.earned_without_grafting {
        Some(earned) => vec![format!("it earns {earned}")],
        None => report.findings.iter().filter_map(foreign).collect(),
    }
}

fn foreign(finding: &Finding) -> Option<String> {
    match finding {
        Finding::OtherArch { path, arch } => Some(format!("{path} is for {arch}")),
        Finding::OtherLibc { path, libc } => Some(format!("{path} is linked to {libc}")),
        Finding::Unreadable { path, reason } => Some(format!("{path} cannot be read: {reason}")),
        _ => None,
    }
}
