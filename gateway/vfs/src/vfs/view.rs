//! What a handle carries on to everything that is reached through it: session and view. The model below knows neither, but that a call
//! comes through `/frozen`.

use std::borrow::Cow;

use super::Found;
use crate::attributes::{Attributes, file_system_id};
use crate::error::{Error, Result};
use crate::node::{FROZEN, MAX_VIEW, Node};
use crate::principal::Call;

impl Node {
    /// Attributes of this object as they are seen through this handle.
    pub(crate) fn sees(&self, attributes: Attributes) -> Attributes {
        Attributes { file_id: self.file_id(), fsid: file_system_id(self.export, self.session), ..attributes }
    }

    /// The call as it is when it comes through this handle.
    pub(crate) fn of<'a>(&self, call: &'a Call) -> Cow<'a, Call> {
        if self.is_frozen() && !call.frozen {
            Cow::Owned(Call { frozen: true, ..call.clone() })
        } else {
            Cow::Borrowed(call)
        }
    }

    /// An object that was found from here: in the same session, and as many views further as the step itself was.
    ///
    /// # Errors
    /// `Invalid` past the last view.
    pub(crate) fn leads_to(&self, found: Found) -> Result<Found> {
        let roots = (self.view & MAX_VIEW) + (found.node.view & MAX_VIEW);
        if roots > MAX_VIEW {
            return Err(Error::invalid("too many links through the endpoint's root on the way"));
        }
        let view = roots | (self.view | found.node.view) & FROZEN;
        let node = Node { session: self.session, view, ..found.node };
        Ok(Found { node, attributes: node.sees(found.attributes) })
    }
}
