//! Answers: JSON as the server's mapping writes it, into the messages that gRPC gives (docs/velociraptor-api.md §10).
//!
//! Names as in the proto, 64-bit integers as text, enums by name, zero values left out. Only what the driver reads is taken; the
//! rest is skipped. Who calls bounds the length.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use velociraptor_proto::proto;
use velociraptor_proto::proto::artifact_collector_context::State;

use crate::server::{CallError, CallResult};

/// The message in `body`.
pub(super) fn parse<J: DeserializeOwned + Field<M>, M>(body: &[u8]) -> CallResult<M> {
    serde_json::from_slice::<J>(body)
        .map(Field::field)
        .map_err(|error| CallError::Failed(format!("its answer is not understood ({error})")))
}

/// What JSON holds, as a field of a message or as a message.
pub(super) trait Field<T> {
    fn field(self) -> T;
}

/// The fields of a message that are read.
macro_rules! message {
    ($json:ident as $message:ident { $($(#[$attribute:meta])* $field:ident : $kind:ty),* $(,)? }) => {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        pub(super) struct $json { $($(#[$attribute])* $field: $kind),* }

        impl Field<proto::$message> for $json {
            #[allow(clippy::needless_update, deprecated)] // some are read whole; old servers fill `cell`
            fn field(self) -> proto::$message {
                proto::$message { $($field: self.$field.field(),)* ..Default::default() }
            }
        }
    };
}

message!(Table as GetTableResponse { columns: Vec<String>, rows: Vec<Row>, total_rows: Signed });
message!(Row as Row { cell: Vec<String>, json: String });

message!(Record as VfsListResponse {
    timestamp: Unsigned, total_rows: Unsigned, client_id: String, flow_id: String, start_idx: Unsigned, end_idx: Unsigned,
    artifact: String, download_version: Unsigned,
});

message!(Started as ArtifactCollectorResponse { flow_id: String });
message!(Details as FlowDetails { context: Option<Context> });
message!(Context as ArtifactCollectorContext {
    create_time: Unsigned, start_time: Unsigned, active_time: Unsigned, request: Option<Request>, session_id: String,
    client_id: String, state: StateName, status: String, artifacts_with_results: Vec<String>, total_uploaded_files: Unsigned,
    total_expected_uploaded_bytes: Unsigned, total_uploaded_bytes: Unsigned, total_collected_rows: Unsigned, total_logs: Unsigned,
    query_stats: Vec<Status>,
});
message!(Status as VeloStatus { error_message: String });
message!(Request as ArtifactCollectorArgs {
    creator: String, artifacts: Vec<String>, client_id: String, timeout: Unsigned, urgent: bool, max_rows: Unsigned,
    max_upload_bytes: Unsigned, specs: Vec<Spec>,
});
message!(Spec as ArtifactSpec { artifact: String, parameters: Option<Parameters> });
message!(Parameters as ArtifactParameters { env: Vec<Variable> });
message!(Variable as VqlEnv { key: String, value: String });

message!(Clients as SearchClientsResponse { items: Vec<Client>, total: Unsigned });
message!(Client as ApiClient {
    client_id: String, agent_information: Option<Agent>, os_info: Option<System>, first_seen_at: Unsigned, last_seen_at: Unsigned,
    last_ip: String, labels: Vec<String>,
});
message!(Agent as AgentInformation { version: String, name: String });
message!(System as Uname { system: String, hostname: String, release: String, machine: String, fqdn: String });

message!(User as ApiUser { username: String, interface_traits: Option<Traits>, orgs: Vec<Org> });
message!(Traits as ApiUserInterfaceTraits {
    #[serde(rename = "Permissions")] permissions: Option<Permissions>,
    org: String,
});
message!(Permissions as ApiClientAcl {
    read_results: bool, collect_client: bool, collect_basic: bool, any_query: bool, artifact_writer: bool,
});
message!(Org as OrgRecord { name: String, id: String });

message!(Artifacts as ArtifactDescriptors { items: Vec<Artifact> });
message!(Artifact as Artifact { name: String });
message!(Installed as SetArtifactResponse { error: bool, error_message: String });

impl Field<String> for String {
    fn field(self) -> String {
        self
    }
}

impl Field<bool> for bool {
    fn field(self) -> bool {
        self
    }
}

impl<J: Field<M>, M> Field<Vec<M>> for Vec<J> {
    fn field(self) -> Vec<M> {
        self.into_iter().map(Field::field).collect()
    }
}

impl<J: Field<M>, M> Field<Option<M>> for Option<J> {
    fn field(self) -> Option<M> {
        self.map(Field::field)
    }
}

/// `uint64`: text, or a number as other mappings write it.
#[derive(Default)]
pub(super) struct Unsigned(u64);

/// `int64`.
#[derive(Default)]
pub(super) struct Signed(i64);

/// The name of a state, or its number.
#[derive(Default)]
pub(super) struct StateName(i32);

/// A state that this program does not know: the flow is still going (§6.2).
const UNKNOWN_STATE: i32 = -1;

impl Field<u64> for Unsigned {
    fn field(self) -> u64 {
        self.0
    }
}

impl Field<i64> for Signed {
    fn field(self) -> i64 {
        self.0
    }
}

impl Field<i32> for StateName {
    fn field(self) -> i32 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unsigned, D::Error> {
        deserializer.deserialize_any(Number).and_then(|number| {
            number.try_into().map(Unsigned).map_err(|_| serde::de::Error::custom("a number does not fit into 64 bits"))
        })
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Signed, D::Error> {
        deserializer.deserialize_any(Number).and_then(|number| {
            number.try_into().map(Signed).map_err(|_| serde::de::Error::custom("a number does not fit into 64 bits"))
        })
    }
}

impl<'de> Deserialize<'de> for StateName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StateName, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = i32;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name or the number of a state")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<i32, E> {
                Ok(State::from_str_name(name).map_or(UNKNOWN_STATE, i32::from))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<i32, E> {
                Ok(i32::try_from(number).unwrap_or(UNKNOWN_STATE))
            }

            fn visit_i64<E: serde::de::Error>(self, _number: i64) -> Result<i32, E> {
                Ok(UNKNOWN_STATE)
            }
        }
        deserializer.deserialize_any(Name).map(StateName)
    }
}

/// An integer in either form.
struct Number;

impl Visitor<'_> for Number {
    type Value = i128;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an integer")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i128, E> {
        text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<i128, E> {
        Ok(number.into())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<i128, E> {
        Ok(number.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(json: &str) -> CallResult<proto::GetTableResponse> {
        parse::<Table, _>(json.as_bytes())
    }

    #[test]
    fn the_answers_of_a_real_server_are_understood() {
        let details: proto::FlowDetails = parse::<Details, _>(
            br#"{"context":{"client_id":"C.b58959056d8a4e2c","session_id":"F.DC4OB36VQJVM0","request":{"creator":"gw","urgent":true,
            "specs":[{"artifact":"System.VFS.DownloadFile","parameters":{"env":[{"key":"Accessor","value":"auto"}]}}],"timeout":"60"},
            "create_time":"1795786124949650","total_uploaded_bytes":"212716214","execution_duration":"1521974000","state":"FINISHED",
            "artifacts_with_results":["System.VFS.DownloadFile"],"query_stats":[{"duration":"1521974000","log_rows":"5"}]},
            "available_downloads":{}}"#,
        )
        .unwrap();
        let context = details.context.unwrap();
        assert_eq!(context.state, State::Finished as i32);
        assert_eq!((context.create_time, context.total_uploaded_bytes), (1_795_786_124_949_650, 212_716_214));
        let request = context.request.unwrap();
        assert_eq!((request.creator.as_str(), request.timeout, request.urgent), ("gw", 60, true));
        assert_eq!(request.specs[0].parameters.as_ref().unwrap().env[0].value, "auto");
        assert_eq!(table(r#"{"total_rows":"-1"}"#).unwrap().total_rows, -1);
        let user: proto::ApiUser =
            parse::<User, _>(br#"{"username":"gw","interface_traits":{"Permissions":{"any_query":true}},"orgs":[{"name":"<root>","id":"root"}]}"#)
                .unwrap();
        assert!(user.interface_traits.unwrap().permissions.unwrap().any_query);
        assert_eq!(user.orgs[0].id, "root");
    }

    #[test]
    fn a_state_of_a_later_server_is_no_end() {
        let state = |json: &str| parse::<Context, proto::ArtifactCollectorContext>(json.as_bytes()).unwrap().state;
        assert_eq!(state("{}"), State::Unset as i32);
        assert_eq!(state(r#"{"state":"UNRESPONSIVE"}"#), State::Unresponsive as i32);
        assert_eq!(state(r#"{"state":2}"#), State::Finished as i32);
        for unknown in [r#"{"state":"PAUSED"}"#, r#"{"state":-2}"#, r#"{"state":99999999999}"#] {
            assert!(State::try_from(state(unknown)).is_err(), "{unknown}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_errors_and_never_other_numbers() {
        for wrong in
            [r#""18446744073709551616""#, r#""-9223372036854775809""#, "1.5", r#""1.5""#, r#""""#, "true", "[]", "null"]
        {
            assert!(matches!(table(&format!(r#"{{"total_rows":{wrong}}}"#)), Err(CallError::Failed(_))), "{wrong}");
        }
        assert_eq!(table(r#"{"total_rows":"9223372036854775807"}"#).unwrap().total_rows, i64::MAX);
        assert_eq!(table(r#"{"total_rows":7}"#).unwrap().total_rows, 7);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(body in "\\PC{0,80}", value in "(\"\\PC{0,20}\"|[0-9.e+-]{1,25}|\\[|\\{\\}|null|true)") {
            let _ = parse::<Table, proto::GetTableResponse>(body.as_bytes());
            for name in ["rows", "columns", "total_rows", "json"] {
                let _ = table(&format!(r#"{{"{name}":{value},"rows":[{{"json":{value}}}]}}"#));
                let _ = parse::<Details, proto::FlowDetails>(format!(r#"{{"context":{{"state":{value},"request":{value}}}}}"#).as_bytes());
            }
        }

        #[test]
        fn deep_nesting_does_not_overflow(depth in 0_usize..20_000) {
            let body = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            let _ = parse::<Table, proto::GetTableResponse>(body.as_bytes());
        }

        #[test]
        fn rows_come_as_they_are(rows in prop::collection::vec("\\PC{0,40}", 0..20), total in any::<i64>()) {
            let rows_json: Vec<_> = rows.iter().map(|row| serde_json::json!({ "json": row })).collect();
            let body = serde_json::json!({ "rows": rows_json, "total_rows": total.to_string() }).to_string();
            let answer = table(&body).unwrap();
            prop_assert_eq!(answer.rows.into_iter().map(|row| row.json).collect::<Vec<_>>(), rows);
            prop_assert_eq!(answer.total_rows, total);
        }
    }
}
