//! What is marked and may leave as soon as the pace allows.

use std::collections::VecDeque;

use crate::store::outbound::QueuedMessage;

/// By class, then in the order of marking: slow commits are made up for by marking ahead, and nobody who waits for an answer is to
/// wait for all of that.
#[derive(Default)]
pub(super) struct Ready(VecDeque<QueuedMessage>);

impl Ready {
    pub(super) fn push(&mut self, message: QueuedMessage) {
        let class = message.category.class();
        let place = self.0.partition_point(|other| other.category.class() <= class);
        self.0.insert(place, message);
    }

    pub(super) fn first(&self) -> Option<&QueuedMessage> {
        self.0.front()
    }

    pub(super) fn pop(&mut self) -> Option<QueuedMessage> {
        self.0.pop_front()
    }

    pub(super) fn take_all(&mut self) -> Vec<QueuedMessage> {
        self.0.drain(..).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::{
        ids::MessageId,
        outbound::Category::{self, Authentication, Freeform, Marketing, Utility},
        phone::PhoneNumber,
        time::UnixMillis,
    };

    pub(in super::super) fn message(id: i64, category: Category) -> QueuedMessage {
        QueuedMessage {
            id: MessageId(id),
            category,
            campaign: None,
            recipient: PhoneNumber::from_international("919876500001").expect("a number"),
            template: None,
            request: String::new(),
            expires_at: UnixMillis(i64::MAX),
            attempts: 0,
            due_since: UnixMillis(0),
        }
    }

    #[test]
    fn an_answer_leaves_before_a_campaign_that_was_marked_earlier_and_each_class_in_its_order() {
        let mut ready = Ready::default();
        let marked = [(1, Marketing), (2, Marketing), (3, Utility), (4, Freeform), (5, Authentication), (6, Marketing)];
        marked.into_iter().for_each(|(id, category)| ready.push(message(id, category)));

        assert_eq!(ready.first().map(|message| message.id), Some(MessageId(4)));
        let left: Vec<_> = std::iter::from_fn(|| ready.pop()).map(|message| message.id.0).collect();
        assert_eq!(left, [4, 5, 3, 1, 2, 6]);
        assert!(ready.is_empty());
    }
}
