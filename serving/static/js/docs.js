// Shows the API by its own description.
SwaggerUIBundle({ url: "/api/openapi.json", dom_id: "#api", validatorUrl: null, supportedSubmitMethods: ["get"] });
