/** Starts Swagger UI on this service's own document; no other host is asked. */
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
});
