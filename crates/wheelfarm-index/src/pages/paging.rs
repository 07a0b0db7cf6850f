//! Long lists in pages.

/// A part of a long list, and the way to the others.
#[derive(Debug, Clone)]
pub(super) struct Paging {
    /// Which page, from 1.
    pub(super) page: usize,
    /// How many there are.
    pub(super) pages: usize,
    /// The number of the first item, from 1; 0 if there is none.
    pub(super) first: usize,
    /// The number of the last item.
    pub(super) last: usize,
    /// How many items there are.
    pub(super) total: usize,
    /// The address of another page is this and its number.
    pub(super) link: String,
}

impl Paging {
    /// Of `total` items, `per` on each page, page `page` or the last one. `query` is what else stands in the address:
    /// encoded, without the question mark.
    pub(super) fn new(total: usize, per: usize, page: usize, query: &str) -> Self {
        let pages = total.div_ceil(per).max(1);
        let page = page.clamp(1, pages);
        let first = (page - 1) * per;
        Self {
            page,
            pages,
            first: if total == 0 { 0 } else { first + 1 },
            last: (first + per).min(total),
            total,
            link: if query.is_empty() {
                "?page=".to_owned()
            } else {
                format!("?{query}&page=")
            },
        }
    }

    /// The items of this page.
    pub(super) fn of<T>(&self, items: Vec<T>) -> Vec<T> {
        let skip = self.first.saturating_sub(1);
        items
            .into_iter()
            .skip(skip)
            .take(self.last - skip)
            .collect()
    }

    pub(super) fn previous(&self) -> Option<String> {
        (self.page > 1).then(|| format!("{}{}", self.link, self.page - 1))
    }

    pub(super) fn next(&self) -> Option<String> {
        (self.page < self.pages).then(|| format!("{}{}", self.link, self.page + 1))
    }
}

/// `text` for use in a query.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        // Writing to a string cannot fail.
        let _infallible = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(encoded, "{}", char::from(byte))
            }
            _ => write!(encoded, "%{byte:02X}"),
        };
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_whole_and_in_bounds() {
        let items: Vec<usize> = (1..=7).collect();
        let middle = Paging::new(7, 3, 2, "q=a");
        assert_eq!(middle.of(items.clone()), [4, 5, 6]);
        assert_eq!(
            (middle.previous().unwrap(), middle.next().unwrap()),
            ("?q=a&page=1".into(), "?q=a&page=3".into())
        );
        let last = Paging::new(7, 3, usize::MAX, "");
        assert_eq!((last.first, last.last, last.next()), (7, 7, None));
        assert_eq!(last.of(items), [7]);
        let none = Paging::new(0, 3, 1, "");
        assert_eq!((none.first, none.last, none.pages), (0, 0, 1));
        assert_eq!(none.of(Vec::<usize>::new()), [0; 0]);
    }
}
