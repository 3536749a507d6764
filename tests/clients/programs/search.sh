#!/bin/sh
# Search by image with curl, waiting for the whole answer.
curl --silent --show-error --fail-with-body "$BASE_URL/responses" \
  --header "Authorization: Bearer $API_KEY" \
  --header "Content-Type: application/json" \
  --data @- <<BODY
{
  "model": "qwen3.7-plus",
  "input": [{"role": "user", "content": [
    {"type": "input_text", "text": "Find landscapes in this style."},
    {"type": "input_image", "image_url": "$IMAGE_URL"}
  ]}],
  "tools": [{"type": "image_search"}]
}
BODY
