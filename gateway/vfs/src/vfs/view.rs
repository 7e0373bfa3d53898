//! What a handle carries on to everything that is reached through it: session and view. The model below knows neither.

use super::Found;
use crate::attributes::{Attributes, file_system_id};
use crate::error::{Error, Result};
use crate::node::{MAX_VIEW, Node};

impl Node {
    /// Attributes of this object as they are seen through this handle.
    pub(crate) fn sees(&self, attributes: Attributes) -> Attributes {
        Attributes { file_id: self.file_id(), fsid: file_system_id(self.export, self.session), ..attributes }
    }

    /// An object that was found from here: in the same session, and as many views further as the step itself was.
    ///
    /// # Errors
    /// `Invalid` past the last view.
    pub(crate) fn leads_to(&self, found: Found) -> Result<Found> {
        let view = self.view + found.node.view;
        if view > MAX_VIEW {
            return Err(Error::invalid("too many links through the endpoint's root on the way"));
        }
        let node = Node { session: self.session, view, ..found.node };
        Ok(Found { node, attributes: node.sees(found.attributes) })
    }
}
