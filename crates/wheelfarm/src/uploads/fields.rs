//! Core metadata as fields of a form.

use wheelfarm_wheel::Metadata;

/// Fields of the form and the header of METADATA that each stands for, of which there is one.
const SINGLE: [(&str, &str); 16] = [
    ("metadata_version", "Metadata-Version"),
    ("name", "Name"),
    ("version", "Version"),
    ("summary", "Summary"),
    ("description_content_type", "Description-Content-Type"),
    ("keywords", "Keywords"),
    ("home_page", "Home-page"),
    ("download_url", "Download-URL"),
    ("author", "Author"),
    ("author_email", "Author-email"),
    ("maintainer", "Maintainer"),
    ("maintainer_email", "Maintainer-email"),
    ("license", "License"),
    ("license_expression", "License-Expression"),
    ("requires_python", "Requires-Python"),
    ("comment", "Comment"),
];

/// Those of which there may be many: a field for each.
const MANY: [(&str, &str); 15] = [
    ("classifiers", "Classifier"),
    ("platform", "Platform"),
    ("supported_platform", "Supported-Platform"),
    ("license_file", "License-File"),
    ("project_urls", "Project-URL"),
    ("requires_dist", "Requires-Dist"),
    ("requires_external", "Requires-External"),
    ("provides_dist", "Provides-Dist"),
    ("obsoletes_dist", "Obsoletes-Dist"),
    ("provides_extra", "Provides-Extra"),
    ("requires", "Requires"),
    ("provides", "Provides"),
    ("obsoletes", "Obsoletes"),
    ("dynamic", "Dynamic"),
    ("import_name", "Import-Name"),
];

/// The fields that `metadata` has values for; `description` is what follows its headers.
pub(super) fn fields(metadata: &Metadata, description: &str) -> Vec<(&'static str, String)> {
    let headers = &metadata.headers;
    let one = SINGLE
        .iter()
        .filter_map(|(field, header)| Some((*field, headers.get(header)?.to_owned())));
    let many = MANY.iter().flat_map(|(field, header)| {
        let values = headers.get_all(header);
        values.map(|value| (*field, value.to_owned()))
    });
    let mut fields: Vec<_> = one
        .chain(many)
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let description = if description.trim().is_empty() {
        headers.get("Description").unwrap_or_default()
    } else {
        description
    };
    if !description.trim().is_empty() {
        fields.push(("description", description.to_owned()));
    }
    fields
}

/// What follows the headers of METADATA: the description
/// ([core metadata](https://packaging.python.org/en/latest/specifications/core-metadata/#description)).
pub(super) fn description(text: &str) -> &str {
    let ends = ["\n\n", "\r\n\r\n"];
    let ends = ends.iter().filter_map(|end| text.split_once(end));
    // The first empty line ends the headers, whatever line ends the description has.
    let first = ends.min_by_key(|(headers, _)| headers.len());
    first.map_or("", |(_, description)| description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_becomes_a_field() {
        let text = "Metadata-Version: 2.4\nName: x\nVersion: 1\nSummary: one\nClassifier: A :: B\n\
                    Classifier: A :: C\nRequires-Dist: y>=1\nKeywords:\n\nThe *text*\n\nof it.\n";
        let metadata = Metadata::parse(text).unwrap();
        let fields = fields(&metadata, description(text));
        let fields: Vec<_> = fields.iter().map(|(f, v)| (*f, v.as_str())).collect();
        assert_eq!(
            fields,
            [
                ("metadata_version", "2.4"),
                ("name", "x"),
                ("version", "1"),
                ("summary", "one"),
                ("classifiers", "A :: B"),
                ("classifiers", "A :: C"),
                ("requires_dist", "y>=1"),
                ("description", "The *text*\n\nof it.\n"),
            ]
        );
    }

    #[test]
    fn the_description_is_what_follows_the_headers() {
        assert_eq!(description("Name: x\r\n\r\na\n\nb"), "a\n\nb");
        assert_eq!(description("Name: x\n\na\r\n\r\nb"), "a\r\n\r\nb");
        assert_eq!(description("Name: x\n"), "");
    }
}
