// Package event holds the state machines of SIP events: a notifier's subscription (RFC 6665) and a publisher's
// event state at the server (RFC 3903), with the grammar of the Event and Subscription-State fields.
//
// The machines take the time and an input and return effects, in fields that are carried out in order. They own
// no timer and send nothing, and are not safe for concurrent use. What a package's documents say and how they
// are versioned is up to the package's service.
package event
