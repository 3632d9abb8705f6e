package provision

import "parley/internal/xmldoc/provisioning"

// What the service addressbook answers at.
const (
	filesPath = "/abs/handler"
	queryPath = "/groupexpansion/service.svc"
)

// addressBook says where people are searched on the web and where photos are, when
// that is served; otherwise clients search by SIP. The address of the query is told
// under two names, since some clients look for it under that of the expansion of
// groups, which is off.
func (s *Service) addressBook() []provisioning.Setting {
	var out []provisioning.Setting
	add := func(name, path string, external bool) bool {
		u := s.host.Web.URL(path, external)
		if u != "" {
			out = append(out, provisioning.Setting{Name: name, Value: u})
		}
		return u != ""
	}
	search := add("abwqInternalUrl", queryPath, false)
	add("abwqExternalUrl", queryPath, true)
	add("dlxInternalUrl", queryPath, false)
	add("dlxExternalUrl", queryPath, true)
	add("absInternalServerUrl", filesPath, false)
	add("absExternalServerUrl", filesPath, true)
	return append(out, settings("absWebServiceEnabled", yesIf(search), "dlxEnabled", no)...)
}
