//! As much of JSON Schema (draft 2020-12) as the report's schema uses. A word that is not known here
//! fails the test, so nothing in the schema goes unchecked.

use serde_json::Value;

/// A schema with its definitions.
pub struct Schema(Value);

impl Schema {
    pub fn new(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap())
    }

    /// Fails with the first thing that is not as the schema has it.
    pub fn require(&self, instance: &Value) {
        assert_eq!(self.complaint(instance), None);
    }

    /// The first thing that is not as the schema has it.
    pub fn complaint(&self, instance: &Value) -> Option<String> {
        self.check(&self.0, instance, "").err()
    }

    fn check(&self, schema: &Value, instance: &Value, place: &str) -> Result<(), String> {
        for (word, says) in schema.as_object().unwrap() {
            let holds = match word.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let name = says.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    self.check(&self.0["$defs"][name], instance, place)?;
                    true
                }
                "anyOf" => {
                    let mut any = says.as_array().unwrap().iter();
                    any.any(|one| self.check(one, instance, place).is_ok())
                }
                "type" => is_of_type(instance, says.as_str().unwrap()),
                "const" => instance == says,
                "enum" => says.as_array().unwrap().contains(instance),
                "minimum" => instance.as_u64() >= says.as_u64(),
                "minLength" => length(instance) >= says.as_u64(),
                "maxLength" => length(instance) <= says.as_u64(),
                "required" => {
                    let mut names = says.as_array().unwrap().iter();
                    names.all(|name| instance.get(name.as_str().unwrap()).is_some())
                }
                "properties" | "additionalProperties" => {
                    self.members(schema, instance, place)?;
                    true
                }
                "propertyNames" => {
                    let names = instance.as_object().unwrap().keys();
                    for name in names {
                        self.check(says, &Value::from(name.as_str()), place)?;
                    }
                    true
                }
                "items" => {
                    for (index, item) in instance.as_array().into_iter().flatten().enumerate() {
                        self.check(says, item, &format!("{place}/{index}"))?;
                    }
                    true
                }
                unknown => panic!("{unknown} is not checked here"),
            };
            if !holds {
                return Err(format!("{place}: {word} {says}"));
            }
        }
        Ok(())
    }

    fn members(&self, schema: &Value, instance: &Value, place: &str) -> Result<(), String> {
        for (name, member) in instance.as_object().into_iter().flatten() {
            let place = format!("{place}/{name}");
            let known = schema.get("properties").and_then(|known| known.get(name));
            match (known, schema.get("additionalProperties")) {
                (Some(known), _) => self.check(known, member, &place)?,
                (None, Some(Value::Bool(false))) => return Err(format!("{place} is unknown")),
                (None, Some(others)) => self.check(others, member, &place)?,
                (None, None) => {}
            }
        }
        Ok(())
    }
}

fn length(instance: &Value) -> Option<u64> {
    instance.as_str().map(|text| text.len() as u64)
}

fn is_of_type(instance: &Value, name: &str) -> bool {
    match name {
        "object" => instance.is_object(),
        "array" => instance.is_array(),
        "string" => instance.is_string(),
        "boolean" => instance.is_boolean(),
        "integer" => instance.is_u64() || instance.is_i64(),
        "null" => instance.is_null(),
        unknown => panic!("{unknown} is no type"),
    }
}
