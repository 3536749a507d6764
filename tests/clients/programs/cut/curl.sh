# curl: what was cut is asked for again after the last event that came whole.
body="{\"image_url\": \"$IMAGE_URL\", \"prompt\": \"$PROMPT\"}"
ask() { curl -sSN "$@" -H 'Content-Type: application/json' -d "$body" "$SERVICE/search/stream"; }

first=$(ask) || true
whole=$(printf '%s\n' "$first" | sed -n '/^id: /=' | tail -n 1)
printf '%s\n' "$first" | sed -n "1,${whole}p"
echo
ask -H "Last-Event-ID: $(printf '%s\n' "$first" | sed -n 's/^id: //p' | tail -n 1)"
