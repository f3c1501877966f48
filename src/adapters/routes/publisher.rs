//! Hands each table to the gate and to whoever drives the proxy.

use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::route::RouteTable;
use crate::domain::visitors::KnownTokens;
use crate::ports::RoutePublisher;

/// The newest table; none before there was one.
pub type Tables = watch::Receiver<Option<Arc<RouteTable>>>;

/// The gate has a table at once, the proxy soon after.
pub struct Publisher {
    gate: Arc<dyn RoutePublisher>,
    newest: watch::Sender<Option<Arc<RouteTable>>>,
}

impl Publisher {
    pub fn new(gate: Arc<dyn RoutePublisher>) -> (Self, Tables) {
        let (newest, tables) = watch::channel(None);
        (Self { gate, newest }, tables)
    }
}

impl RoutePublisher for Publisher {
    fn publish(&self, table: RouteTable) {
        self.gate.publish(table.clone());
        // A table that says the same is no news for the proxy.
        self.newest.send_if_modified(|newest| {
            let is_news = newest.as_deref() != Some(&table);
            if is_news {
                *newest = Some(Arc::new(table));
            }
            is_news
        });
    }

    fn know(&self, tokens: KnownTokens) {
        self.gate.know(tokens);
    }
}
