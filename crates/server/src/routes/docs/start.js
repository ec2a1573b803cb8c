// Addresses are relative, so that the page also works behind a proxy that puts a prefix before all paths.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  // The badge would ask a server on the internet.
  validatorUrl: null,
});
