"use strict";

const show = (id, text) => { document.getElementById(id).textContent = text; };
const wrong = (error) => { show("state", `failed: ${error.message}`); };

async function connect() {
  const settings = await (await fetch("settings.json")).json();
  await FHIR.oauth2.authorize({ ...settings, redirectUri: "app.html", pkceMode: "required" });
}

async function read(client) {
  const patient = await client.patient.read();
  show("patient", `${patient.id} ${patient.birthDate}`);
  show("user", await client.getFhirUser());
  const found = await client.request(`Observation?patient=${client.patient.id}&_count=5`);
  show("observations", `${found.entry.length} of ${new Set(found.entry.map((entry) => entry.resource.subject.reference)).size} patient`);
  const refused = await client.request("AuditEvent").then(() => "no", (error) => `${error.status}`);
  show("refused", refused);
}

async function refresh(client) {
  const before = client.state.tokenResponse;
  await client.refresh();
  const after = client.state.tokenResponse;
  show("patient", "");
  await read(client);
  const isNew = before.access_token !== after.access_token && before.refresh_token !== after.refresh_token;
  show("state", isNew ? "refreshed" : "the same tokens");
}

async function back() {
  const client = await FHIR.oauth2.ready();
  await read(client);
  const button = document.getElementById("refresh");
  button.addEventListener("click", () => { refresh(client).catch(wrong); });
  button.hidden = false;
  show("state", `connected with ${client.getState("tokenResponse.token_type")}`);
}

document.getElementById("connect").addEventListener("click", () => { connect().catch(wrong); });
if (new URLSearchParams(location.search).has("state")) back().catch(wrong);
