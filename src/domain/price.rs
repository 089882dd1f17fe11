//! What decides about the price of a message: the provider tells no money, but under which heading of its price list the
//! message falls, and whether it is billed at all. The list has a row for each country of the recipient.

use std::collections::BTreeMap;

use super::outbound::stored;

/// The heading, and whether it costs anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price {
    pub category: PriceCategory,
    pub billable: bool,
}

/// A heading of WhatsApp's price list. Not the category of the template: what answers a person within a day may be free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceCategory {
    Authentication,
    AuthenticationInternational,
    Marketing,
    MarketingLite,
    Utility,
    Service,
    ReferralConversion,
    /// A heading that this version does not know; the provider's entry has its name.
    Other,
}

stored!(PriceCategory {
    Authentication = 1 "authentication",
    AuthenticationInternational = 2 "authentication-international",
    Marketing = 3 "marketing",
    MarketingLite = 4 "marketing_lite",
    Utility = 5 "utility",
    Service = 6 "service",
    ReferralConversion = 7 "referral_conversion",
    Other = 8 "other",
});

impl PriceCategory {
    /// The heading by the provider's word.
    pub fn named(word: &str) -> Self {
        let known = |category: &Self| category.as_str().eq_ignore_ascii_case(word);
        Self::ALL.into_iter().find(known).unwrap_or(Self::Other)
    }
}

impl Price {
    /// Those under this heading, or that are billed or not; none when neither is asked.
    pub fn among(category: Option<PriceCategory>, billable: Option<bool>) -> Vec<Self> {
        if category.is_none() && billable.is_none() {
            return vec![];
        }
        let all = PriceCategory::ALL
            .into_iter()
            .flat_map(|category| [true, false].map(|billable| Self { category, billable }));
        let fits = |price: &Self| {
            category.is_none_or(|wanted| wanted == price.category)
                && billable.is_none_or(|wanted| wanted == price.billable)
        };
        all.filter(fits).collect()
    }

    /// The number that stands for both in the tables: twice the heading's, and one more when it is billed.
    pub const fn code(self) -> i16 {
        self.category.code() * 2 + if self.billable { 1 } else { 0 }
    }

    /// The reverse of [`Self::code`]; `None` for a number that no version has written.
    pub fn from_code(code: i16) -> Option<Self> {
        Some(Self { category: PriceCategory::from_code(code / 2)?, billable: code % 2 == 1 })
    }
}

/// The first digits of a number that tell its country: no calling code is longer.
pub const COUNTRY_DIGITS: usize = 3;

/// Messages by where they went and under which heading they fall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill(pub BTreeMap<(String, Price), u64>);

impl Bill {
    /// `country` as a person would look for it in the price list.
    pub fn add(&mut self, country: String, price: Price, messages: u64) {
        *self.0.entry((country, price)).or_default() += messages;
    }

    pub fn most_first(&self) -> Vec<(&str, Price, u64)> {
        let mut lines: Vec<_> =
            self.0.iter().map(|((country, price), messages)| (country.as_str(), *price, *messages)).collect();
        lines.sort_by_key(|(_, _, messages)| std::cmp::Reverse(*messages));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_can_be_stored_and_read_again() {
        for category in PriceCategory::ALL {
            assert_eq!(PriceCategory::named(category.as_str()), category);
            for billable in [false, true] {
                let price = Price { category, billable };
                assert_eq!(Price::from_code(price.code()), Some(price));
            }
        }
        assert_eq!(Price::from_code(0), None);
        assert_eq!(PriceCategory::named("ai_provider"), PriceCategory::Other);
    }
}
