// In a page of another site: one search with each of the `tokens`, and what it reads of the outcome.
const outcomes = [];
for (const token of tokens) {
  const headers = {Authorization: "Bearer " + token, "Content-Type": "application/json"};
  const sent = {method: "POST", headers, body: JSON.stringify(asked)};
  const answer = await fetch(service + "/search", sent);
  const {code, status} = await answer.json();
  outcomes.push([answer.status, code ?? status]);
}
return outcomes;
