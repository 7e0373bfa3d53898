//! Messages as JSON, by the canonical mapping of protobuf with the server's options: names as in the proto, zero values left out.

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, Kind, MessageDescriptor, SerializeOptions, Value,
};
use tonic::Status;
use velociraptor_proto::DESCRIPTORS;

use crate::error::Error;
use crate::server::refusal;

/// All messages by name.
pub(super) struct Mapping(DescriptorPool);

impl Mapping {
    pub(super) fn new() -> Result<Self, Error> {
        let pool = DescriptorPool::decode(DESCRIPTORS).map_err(|error| Error::Configuration(error.to_string()))?;
        Ok(Self(pool))
    }

    fn descriptor(&self, name: &str) -> Result<MessageDescriptor, Status> {
        let found = self.0.get_message_by_name(&format!("proto.{name}"));
        found.ok_or_else(|| refusal::unavailable(format!("no message {name}")))
    }

    /// The message in a body.
    pub(super) fn of_body<T: Message + Default>(&self, name: &str, body: &[u8]) -> Result<T, Status> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let message = DynamicMessage::deserialize_with_options(self.descriptor(name)?, &mut json, &options)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        message.transcode_to().map_err(|error| Status::invalid_argument(error.to_string()))
    }

    /// The message in the parameters of a query. Names that it does not have are ignored.
    pub(super) fn of_query<T: Message + Default>(
        &self,
        name: &str,
        parameters: &[(String, String)],
    ) -> Result<T, Status> {
        let descriptor = self.descriptor(name)?;
        let mut message = DynamicMessage::new(descriptor.clone());
        for (key, text) in parameters {
            let Some(field) = descriptor.get_field_by_name(key) else { continue };
            let value = value(&field.kind(), text).ok_or_else(|| {
                Status::invalid_argument(format!("parsing field \"{key}\": parsing \"{text}\": invalid syntax"))
            })?;
            if !field.is_list() {
                message.set_field(&field, value);
            } else if let Some(list) = message.get_field_mut(&field).as_list_mut() {
                list.push(value);
            }
        }
        message.transcode_to().map_err(|error| Status::invalid_argument(error.to_string()))
    }

    /// A message as the body of an answer.
    pub(super) fn body<T: Message>(&self, name: &str, message: &T) -> Result<Vec<u8>, Status> {
        let mut dynamic = DynamicMessage::new(self.descriptor(name)?);
        dynamic.transcode_from(message).map_err(refusal::disk)?;
        let options = SerializeOptions::new()
            .use_proto_field_name(true)
            .stringify_64_bit_integers(true)
            .skip_default_fields(true)
            .use_enum_numbers(false);
        let mut body = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut body);
        dynamic.serialize_with_options(&mut serializer, &options).map_err(refusal::disk)?;
        Ok(body)
    }
}

fn value(kind: &Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::String => Value::String(text.to_string()),
        Kind::Bool => Value::Bool(text.parse().ok()?),
        Kind::Uint64 => Value::U64(text.parse().ok()?),
        Kind::Uint32 => Value::U32(text.parse().ok()?),
        Kind::Int64 => Value::I64(text.parse().ok()?),
        Kind::Enum(names) => Value::EnumNumber(names.get_value_by_name(text)?.number()),
        _ => return None,
    })
}

/// The parameters of a query, unescaped; what is no UTF-8 is refused.
pub(super) fn parameters(query: &str) -> Result<Vec<(String, String)>, Status> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let unescaped = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((unescape(name)?, unescape(value)?))
    });
    unescaped.collect::<Option<_>>().ok_or_else(|| Status::invalid_argument("invalid URL escape"))
}

/// `+` is a space and `%XX` a byte.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}
