// Package all lists every service of the product, one line each, in the order
// in which a node starts them.
package all

import (
	"parley/internal/service"
	"parley/internal/service/addressbook"
	"parley/internal/service/adminweb"
	"parley/internal/service/autodiscover"
	"parley/internal/service/avedge"
	"parley/internal/service/certprov"
	"parley/internal/service/chat"
	"parley/internal/service/message"
	"parley/internal/service/mwi"
	"parley/internal/service/people"
	"parley/internal/service/presence"
	"parley/internal/service/provision"
	"parley/internal/service/registrar"
	"parley/internal/service/replicator"
	"parley/internal/service/roaming"
	"parley/internal/service/web"
	"parley/internal/service/webclient"
)

// Specs returns the declarations in start order. The slice is fresh.
func Specs() []service.Spec {
	return []service.Spec{
		message.Spec,
		chat.Spec,
		presence.Spec,
		roaming.Spec,
		provision.Spec,
		people.Spec,
		mwi.Spec,
		certprov.Spec,
		autodiscover.Spec,
		addressbook.Spec,
		replicator.Spec,
		webclient.Spec,
		adminweb.Spec,
		web.Spec,
		avedge.Spec,    // after the web site, whose port it may share
		registrar.Spec, // last: it opens the listeners that clients use
	}
}
