// Ours, not Swagger UI's: starts it with the document that the page names.
"use strict";

const place = document.getElementById("swagger-ui");

SwaggerUIBundle({
  url: new URL(place.dataset.document, document.baseURI).href,
  domNode: place,
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: false,
  // Nothing leaves this host: no badge of a validation service, no document named in the query.
  validatorUrl: null,
  queryConfigEnabled: false,
  // A picture in base64 would take minutes to colour.
  syntaxHighlight: false,
  displayRequestDuration: true,
  docExpansion: "full",
  persistAuthorization: false,
});
