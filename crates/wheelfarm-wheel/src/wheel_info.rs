//! `WHEEL` and `METADATA`.

use wheelfarm_types::Tag;

use crate::Headers;

/// `.dist-info/WHEEL`: how the wheel was built and what it runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelInfo {
    /// All headers.
    pub headers: Headers,
}

/// `.dist-info/METADATA`: what the project says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// All headers.
    pub headers: Headers,
}

impl WheelInfo {
    /// Checks the version: the specification asks installers to fail on a greater major version than 1.
    pub(crate) fn new(headers: Headers) -> Result<Self, String> {
        let version = headers
            .get("Wheel-Version")
            .ok_or("it has no `Wheel-Version`")?;
        if version.split('.').next() != Some("1") {
            return Err(format!("`Wheel-Version: {version}` is not 1.x"));
        }
        Ok(Self { headers })
    }

    /// The tags, in order; an entry that is no tag is left out, a compressed one is expanded.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = Vec::new();
        // What has white space in it would not come back as it was written.
        let is_tag = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic());
        for text in self.headers.get_all("Tag").filter(is_tag) {
            let parts: Vec<_> = text.split('-').collect();
            let [pythons, abis, platforms] = parts.as_slice() else {
                continue;
            };
            for python in pythons.split('.') {
                for abi in abis.split('.') {
                    tags.extend(platforms.split('.').map(|platform| Tag {
                        python: python.to_owned(),
                        abi: abi.to_owned(),
                        platform: platform.to_owned(),
                    }));
                }
            }
        }
        tags
    }

    /// The build tag, if there is one.
    pub fn build(&self) -> Option<&str> {
        self.headers.get("Build")
    }

    /// Whether the archive's root is installed into purelib, not platlib.
    pub fn root_is_purelib(&self) -> bool {
        self.headers
            .get("Root-Is-Purelib")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Replaces the tags: one header each, at the end.
    pub fn set_tags<'a>(&mut self, tags: impl IntoIterator<Item = &'a Tag>) {
        self.headers.remove("Tag");
        for tag in tags {
            self.headers.push("Tag", &tag.to_string());
        }
    }

    /// Replaces or removes the build tag.
    pub fn set_build(&mut self, build: Option<&str>) {
        self.headers.remove("Build");
        if let Some(build) = build {
            self.headers.push("Build", build);
        }
    }

    /// Says where the archive's root is installed.
    pub fn set_root_is_purelib(&mut self, purelib: bool) {
        self.headers.remove("Root-Is-Purelib");
        self.headers
            .push("Root-Is-Purelib", if purelib { "true" } else { "false" });
    }
}

impl Metadata {
    /// Parses the text of METADATA, or of a source distribution's PKG-INFO; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::new(Headers::parse(text)?)
    }

    pub(crate) fn new(headers: Headers) -> Result<Self, String> {
        for name in ["Metadata-Version", "Name", "Version"] {
            if headers.get(name).is_none_or(str::is_empty) {
                return Err(format!("it has no `{name}`"));
            }
        }
        Ok(Self { headers })
    }

    /// The project's name, as spelled.
    pub fn name(&self) -> &str {
        self.headers.get("Name").unwrap_or_default()
    }

    /// The version, as spelled.
    pub fn version(&self) -> &str {
        self.headers.get("Version").unwrap_or_default()
    }

    /// What it requires, unparsed ([PEP 508](https://peps.python.org/pep-0508/)).
    pub fn requires_dist(&self) -> Vec<&str> {
        self.headers.get_all("Requires-Dist").collect()
    }

    /// The Python versions it runs on: a PEP 440 specifier set, unparsed.
    pub fn requires_python(&self) -> Option<&str> {
        self.headers.get("Requires-Python")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> Result<WheelInfo, String> {
        WheelInfo::new(Headers::parse(text).unwrap())
    }

    #[test]
    fn tags_are_expanded_and_replaced() {
        let mut wheel = info(
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2.py3-none-any\nTag: nonsense\n",
        )
        .unwrap();
        let tags: Vec<_> = wheel.tags().iter().map(Tag::to_string).collect();
        assert_eq!(tags, ["py2-none-any", "py3-none-any"]);
        assert!(wheel.root_is_purelib());
        let new = Tag {
            python: "cp311".into(),
            abi: "cp311".into(),
            platform: "manylinux_2_28_x86_64".into(),
        };
        wheel.set_tags([&new]);
        wheel.set_build(Some("1wf"));
        wheel.set_root_is_purelib(false);
        assert_eq!(
            wheel.headers.to_string(),
            "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_28_x86_64\nBuild: 1wf\nRoot-Is-Purelib: false\n"
        );
    }

    #[test]
    fn tags_come_back_as_they_were_written() {
        let text =
            "Wheel-Version: 1.0\nTag: py3-none-any\nTag: cp311.\r\0cp312-abi3-any\nTag: a. b-c-d\n";
        let mut wheel = info(text).unwrap();
        let tags = wheel.tags();
        assert_eq!(tags.len(), 1);
        wheel.set_tags(&tags);
        assert_eq!(
            Headers::parse(&wheel.headers.to_string()),
            Ok(wheel.headers)
        );
    }

    #[test]
    fn later_formats_are_refused() {
        assert!(info("Wheel-Version: 2.0\n").unwrap_err().contains("2.0"));
        assert!(info("Tag: py3-none-any\n").is_err());
    }

    #[test]
    fn metadata_has_its_required_fields() {
        let text = "Metadata-Version: 2.1\nName: X\nVersion: 1\nRequires-Dist: a\nRequires-Python: >=3.9\n";
        let metadata = Metadata::new(Headers::parse(text).unwrap()).unwrap();
        assert_eq!((metadata.name(), metadata.version()), ("X", "1"));
        assert_eq!(metadata.requires_dist(), ["a"]);
        assert_eq!(metadata.requires_python(), Some(">=3.9"));
        assert!(Metadata::new(Headers::parse("Name: x\n").unwrap()).is_err());
    }
}
