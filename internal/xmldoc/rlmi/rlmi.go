// Package rlmi reads and prints resource list meta-information, the first
// part of a notification for a list (RFC 4662 5).
package rlmi

import (
	"strconv"

	"parley/internal/xmldoc"
)

// Namespace and MediaType name the document.
const (
	Namespace    = "urn:ietf:params:xml:ns:rlmi"
	MediaType    = "application/rlmi+xml"
	maxResources = 4096
)

// List is the state of a list at one version.
type List struct {
	URI       string
	Version   uint32
	FullState bool
	Names     []Name
	Resources []Resource
}

// Name is a text for people.
type Name struct{ Lang, Text string }

// Resource is one member of the list.
type Resource struct {
	URI       string
	Names     []Name
	Instances []Instance
}

// Instance is one virtual subscription to the resource.
type Instance struct {
	ID     string
	State  string // active, pending, terminated
	Reason string // why it is terminated, or ""
	CID    string // Content-ID of its body part without brackets, or ""
}

// Parse reads a list.
func Parse(b []byte) (*List, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{Elements: 16384, Bytes: 5000 << 10})
	if err != nil {
		return nil, err
	}
	if !root.Is(Namespace, "list") {
		return nil, &xmldoc.Error{Text: "not a resource list meta-information document"}
	}
	l := &List{URI: root.Attr("uri")}
	version, err := strconv.ParseUint(root.Attr("version"), 10, 32)
	if err != nil || l.URI == "" {
		return nil, &xmldoc.Error{Text: "list without uri or version"}
	}
	l.Version = uint32(version)
	switch root.Attr("fullState") {
	case "true", "1":
		l.FullState = true
	case "false", "0":
	default:
		return nil, &xmldoc.Error{Text: "fullState is not a boolean"}
	}
	for e := range root.Kids {
		switch {
		case e.Is(Namespace, "name"):
			l.Names = append(l.Names, Name{e.Lang(), e.Text()})
		case e.Is(Namespace, "resource"):
			r, err := resource(e)
			if err != nil {
				return nil, err
			}
			l.Resources = append(l.Resources, r)
		}
	}
	if len(l.Resources) > maxResources {
		return nil, &xmldoc.Error{Text: "too many resources"}
	}
	return l, nil
}

func resource(e *xmldoc.Element) (Resource, error) {
	r := Resource{URI: e.Attr("uri")}
	if r.URI == "" {
		return r, &xmldoc.Error{Text: "resource without uri"}
	}
	for k := range e.Kids {
		switch {
		case k.Is(Namespace, "name"):
			r.Names = append(r.Names, Name{k.Lang(), k.Text()})
		case k.Is(Namespace, "instance"):
			i := Instance{ID: k.Attr("id"), State: k.Attr("state"), Reason: k.Attr("reason"), CID: k.Attr("cid")}
			switch i.State {
			case "active", "pending", "terminated":
			default:
				return r, &xmldoc.Error{Text: "unknown instance state"}
			}
			if i.ID == "" {
				return r, &xmldoc.Error{Text: "instance without id"}
			}
			r.Instances = append(r.Instances, i)
		}
	}
	return r, nil
}

// Append prints l after dst, with the XML declaration.
func (l *List) Append(dst []byte) []byte {
	dst = append(dst, xmldoc.Header+`<list xmlns="`+Namespace+`" uri="`...)
	dst = append(xmldoc.AppendText(dst, l.URI), `" version="`...)
	dst = append(strconv.AppendUint(dst, uint64(l.Version), 10), `" fullState="`...)
	dst = append(strconv.AppendBool(dst, l.FullState), `">`...)
	dst = appendNames(dst, l.Names)
	for i := range l.Resources {
		r := &l.Resources[i]
		dst = append(xmldoc.AppendText(append(dst, `<resource uri="`...), r.URI), `">`...)
		dst = appendNames(dst, r.Names)
		for _, in := range r.Instances {
			dst = append(dst, "<instance"...)
			dst = appendAttr(dst, "id", in.ID)
			dst = appendAttr(dst, "state", in.State)
			dst = appendAttr(dst, "reason", in.Reason)
			dst = append(appendAttr(dst, "cid", in.CID), "/>"...)
		}
		dst = append(dst, "</resource>"...)
	}
	return append(dst, "</list>\n"...)
}

func appendAttr(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, ' '), name...), `="`...)
	return append(xmldoc.AppendText(dst, value), '"')
}

func appendNames(dst []byte, names []Name) []byte {
	for _, n := range names {
		dst = append(dst, "<name"...)
		if n.Lang != "" {
			dst = append(xmldoc.AppendText(append(dst, ` xml:lang="`...), n.Lang), '"')
		}
		dst = append(xmldoc.AppendText(append(dst, '>'), n.Text), "</name>"...)
	}
	return dst
}
