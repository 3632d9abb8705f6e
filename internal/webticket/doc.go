// Package webticket makes and checks the web tickets of [MS-OCAUTHWS]: a user who has shown his credentials once gets
// a SAML assertion, and shows that to other services, either as it is or together with a signature by a key that only
// he and the ticket have.
//
// To a client the assertion is opaque. What counts in it is one sealed value, which holds the user, the service it is
// for, its life and the key; the rest is for form's sake and believed by nobody.
package webticket
