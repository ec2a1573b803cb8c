// Relative URLs also work behind a proxy that adds a prefix to all paths.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  // The badge would be loaded from the internet.
  validatorUrl: null,
});
