//! Measures one stream for the metrics.
//!
//! Without the feature `metrics` a meter is empty, and its methods do nothing.

#[cfg(feature = "metrics")]
pub(crate) use with_metrics::Meter;
#[cfg(not(feature = "metrics"))]
pub(crate) use without_metrics::Meter;

#[cfg(feature = "metrics")]
mod with_metrics {
    use std::sync::Arc;

    use tokio::time::Instant;

    use crate::drain::StreamGroup;
    use crate::metrics::StreamMetrics;
    use crate::stream_control::StreamControl;

    #[derive(Default)]
    pub(crate) struct Meter {
        /// `None` before the stream opens, and for a stream that is rejected.
        metrics: Option<Arc<StreamMetrics>>,
        /// When the stream opened, until its first event.
        opened: Option<Instant>,
        /// Whether the items are pages of a hub, with any number of events.
        has_pages: bool,
    }

    impl Meter {
        #[cfg(feature = "hub")]
        pub(crate) fn set_has_pages(&mut self) {
            self.has_pages = true;
        }

        /// The stream opens. Its end is measured by a callback.
        pub(crate) fn open(&mut self, group: Option<&StreamGroup>, control: &StreamControl, now: Instant) {
            let metrics =
                group.map_or_else(|| Arc::new(StreamMetrics::new(StreamGroup::DEFAULT_NAME)), StreamGroup::metrics);
            metrics.opened();
            let of_end = metrics.clone();
            control.on_close(Box::new(move |reason| of_end.closed(reason, now.elapsed())));
            (self.metrics, self.opened) = (Some(metrics), Some(now));
        }

        /// The body hands a chunk with this number of items to the server.
        #[inline]
        pub(crate) fn chunk_written(&mut self, items: u32, bytes: usize, control: &StreamControl, now: Instant) {
            let Some(metrics) = &self.metrics else { return };
            let events = if self.has_pages { control.take_page_events() } else { items.into() };
            metrics.sent(events, bytes as u64);
            if self.opened.is_some() && events > 0 {
                self.first_event(now);
            }
        }

        #[cold]
        fn first_event(&mut self, now: Instant) {
            if let (Some(metrics), Some(opened)) = (&self.metrics, self.opened.take()) {
                metrics.first_event(now.saturating_duration_since(opened));
            }
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod without_metrics {
    use tokio::time::Instant;

    use crate::drain::StreamGroup;
    use crate::stream_control::StreamControl;

    #[derive(Default)]
    pub(crate) struct Meter {}

    impl Meter {
        #[cfg(feature = "hub")]
        pub(crate) fn set_has_pages(&mut self) {}

        pub(crate) fn open(&mut self, _: Option<&StreamGroup>, _: &StreamControl, _: Instant) {}

        #[inline]
        pub(crate) fn chunk_written(&mut self, _: u32, _: usize, _: &StreamControl, _: Instant) {}
    }
}
