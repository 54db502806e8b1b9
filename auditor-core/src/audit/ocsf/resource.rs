//! OCSF `resources`: what an interaction touches, with how sensitive that is.

use serde::Serialize;

use crate::audit::{event::AuditEvent, outcome};

#[derive(Serialize)]
pub(super) struct Resource<'a> {
    name: &'a str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_classifications: Option<[Classification; 1]>,
}

/// OCSF `data_classification`.
#[derive(Serialize)]
struct Classification {
    confidentiality: &'static str,
    confidentiality_id: u8,
}

/// What the content names; where nothing is known of that, the target of the method.
pub(super) fn resources(event: &AuditEvent) -> Option<Vec<Resource<'_>>> {
    let named = &event.content.declared.resources;
    if !named.is_empty() {
        let resource = |one: &'_ auditor_resource::Resource| -> Option<[Classification; 1]> {
            let level = one.sensitivity.as_ref()?.level;
            Some([Classification {
                confidentiality: ocsf_name(level),
                confidentiality_id: level.ocsf(),
            }])
        };
        let views = named.iter().map(|one| Resource {
            name: &one.name,
            r#type: one.kind.name(),
            namespace: one.namespace.as_deref(),
            data_classifications: resource(one),
        });
        return Some(views.collect());
    }
    let name = event.interaction.target.as_deref()?;
    let view = Resource {
        name,
        r#type: outcome::resource_type(event.interaction.method.as_deref()),
        namespace: None,
        data_classifications: None,
    };
    Some(vec![view])
}

/// OCSF's caption of a confidentiality.
fn ocsf_name(level: auditor_resource::Level) -> &'static str {
    use auditor_resource::Level;
    match level {
        Level::Public => "Not Confidential",
        Level::Internal => "Private",
        Level::Confidential => "Confidential",
        Level::Restricted => "Restricted",
    }
}
