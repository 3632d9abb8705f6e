// Package batchsub reads subscriptions to categories of many people at once
// ([MS-PRES] 2.2.2.4.1).
package batchsub

import "parley/internal/xmldoc"

// Names of the family.
const (
	MediaType    = "application/msrtc-adrl-categorylist+xml"
	Namespace    = "http://schemas.microsoft.com/2006/01/sip/batch-subscribe"
	ListSpace    = "http://schemas.microsoft.com/2006/09/sip/categorylist"
	maxResources = 1024
	maxNames     = 64
	maxName      = 64
	maxURI       = 512
)

// The actions.
const (
	Subscribe   = "subscribe"
	Unsubscribe = "unsubscribe"
	Query       = "query"
)

// Batch is one request.
type Batch struct {
	URI        string // of the subscriber
	Action     string
	ID         string
	Resources  []Resource
	Categories []string
}

// Resource is somebody to watch.
type Resource struct {
	URI   string
	Added bool // the subscriber has just put him on his contact list (an element context)
}

// Parse reads a batch.
func Parse(b []byte) (*Batch, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{})
	if err != nil {
		return nil, err
	}
	if root.Name.Local != "batchSub" {
		return nil, &xmldoc.Error{Text: "not a batch subscription"}
	}
	action := root.Kid("action")
	if action == nil {
		return nil, &xmldoc.Error{Text: "batch without action"}
	}
	out := &Batch{URI: root.AttrFold("uri"), Action: action.AttrFold("name"), ID: action.AttrFold("id")}
	switch out.Action {
	case Subscribe, Unsubscribe, Query:
	default:
		return nil, &xmldoc.Error{Text: "unknown action"}
	}
	if list := action.Kid("adhocList"); list != nil {
		for r := range list.Kids {
			if r.Name.Local != "resource" {
				continue
			}
			uri := r.AttrFold("uri")
			if uri == "" || len(uri) > maxURI {
				return nil, &xmldoc.Error{Text: "resource without uri, or one that is too long"}
			}
			out.Resources = append(out.Resources, Resource{uri, r.Kid("context") != nil})
		}
	}
	if list := action.Kid("categoryList"); list != nil {
		for c := range list.Kids {
			name := c.AttrFold("name")
			if c.Name.Local != "category" || name == "" || len(name) > maxName {
				return nil, &xmldoc.Error{Text: "category without name, or one that is too long"}
			}
			out.Categories = append(out.Categories, name)
		}
	}
	if len(out.Resources) > maxResources || len(out.Categories) > maxNames {
		return nil, &xmldoc.Error{Text: "too many resources or categories"}
	}
	return out, nil
}

// Append writes a batch, for clients and tests.
func (b *Batch) Append(dst []byte) []byte {
	dst = append(dst, `<batchSub xmlns="`+Namespace+`"`...)
	dst = append(xmldoc.AppendAttr(dst, "uri", b.URI), ` name=""><action`...)
	dst = xmldoc.AppendAttr(xmldoc.AppendAttr(dst, "name", b.Action), "id", b.ID)
	dst = append(dst, "><adhocList>"...)
	for _, r := range b.Resources {
		dst = xmldoc.AppendAttr(append(dst, "<resource"...), "uri", r.URI)
		if r.Added {
			dst = append(dst, "><context/></resource>"...)
		} else {
			dst = append(dst, "/>"...)
		}
	}
	dst = append(dst, `</adhocList><categoryList xmlns="`+ListSpace+`">`...)
	for _, c := range b.Categories {
		dst = append(xmldoc.AppendAttr(append(dst, "<category"...), "name", c), "/>"...)
	}
	return append(dst, "</categoryList></action></batchSub>"...)
}
