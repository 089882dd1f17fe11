//! What CleverTap's message ids tell about their campaign. They are read for grouping, stopping and reports only.

use super::is_test_id;
use crate::domain::campaign::Grouping;

/// `i|campaign|batch|j`, with a variant or without.
pub(super) fn grouping(platform_message_id: &str) -> Option<Grouping> {
    let parts: Vec<&str> = platform_message_id.split('|').map(str::trim).collect();
    let (campaign, batch, variant) = match parts[..] {
        [_, campaign, batch, _] => (campaign, batch, None),
        [_, campaign, batch, _, variant] => (campaign, batch, Some(variant.to_owned())),
        _ => return None,
    };
    let names_one = !campaign.is_empty() && !is_test_id(platform_message_id);
    names_one.then(|| Grouping { campaign: campaign.to_owned(), batch: batch.to_owned(), variant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_campaign_batch_and_variant() {
        let of = |id: &str| grouping(id).map(|found| (found.campaign, found.batch, found.variant));
        let named = |variant: Option<&str>| {
            Some(("1790000000".to_owned(), "20261120".to_owned(), variant.map(ToOwned::to_owned)))
        };

        assert_eq!(of("7|1790000000|20261120|7|0"), named(Some("0")));
        assert_eq!(of("7|1790000000|20261120|7"), named(None));
        for none in ["", "0|0|0|0", "0|0|0|0|0", "7||20261120|7", "order-17", "7|1790000000", "a|b|c|d|e|f"] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
