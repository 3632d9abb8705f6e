package categories

import (
	"strconv"

	"parley/internal/xmldoc"
)

// Names of the category state.
const (
	StateName  = "state"
	StateSpace = "http://schemas.microsoft.com/2006/09/sip/state"
	xsiSpace   = "http://www.w3.org/2001/XMLSchema-instance"
)

// The types of state.
const (
	UserState       = "userState"
	MachineState    = "machineState"
	CalendarState   = "calendarState"
	PhoneState      = "phoneState"
	ConferenceState = "conferenceState"
	AggregateState  = "aggregateState"
)

// State is what a state says, as far as the server looks at it.
type State struct {
	Type         string
	Manual       bool
	StartTime    string // RFC 3339, or ""
	End          string
	Availability int
	Activity     *Activity
	Place        []*xmldoc.Element // location, time zone and device, passed on as they came
}

// Activity says what somebody does. It counts only while his availability is
// between Min and Max, of which 0 is no bound.
type Activity struct {
	Token    string
	Custom   []*xmldoc.Element // texts in the user's own words, by language
	Min, Max int
}

// ParseState reads a state element. One without a number as availability is an
// error: clients crash on it.
func ParseState(e *xmldoc.Element) (*State, error) {
	if e == nil || e.Name.Local != StateName {
		return nil, &xmldoc.Error{Text: "state without state element"}
	}
	s := &State{Manual: e.AttrFold("manual") == "true" || e.AttrFold("manual") == "1", StartTime: e.AttrFold("startTime")}
	for _, a := range e.Attrs {
		if a.Name.Local == "type" {
			s.Type = a.Value // xsi:type, whatever came before
		}
	}
	n, err := strconv.ParseUint(e.KidText("availability"), 10, 16)
	if err != nil {
		return nil, &xmldoc.Error{Text: "state without availability"}
	}
	s.Availability = int(n)
	s.End = e.KidText("end")
	if a := e.Kid("activity"); a != nil {
		s.Activity = &Activity{Token: a.AttrFold("token")}
		s.Activity.Min, _ = strconv.Atoi(a.AttrFold("minAvailability"))
		s.Activity.Max, _ = strconv.Atoi(a.AttrFold("maxAvailability"))
		for c := range a.Kids {
			if c.Name.Local == "custom" {
				s.Activity.Custom = append(s.Activity.Custom, c)
			}
		}
	}
	for k := range e.Kids {
		switch k.Name.Local {
		case "endpointLocation", "meetingSubject", "meetingLocation", "timeZoneBias", "timeZoneName", "timeZoneAbbreviation", "device":
			s.Place = append(s.Place, k)
		}
	}
	return s, nil
}

// Append prints s. lastActive is RFC 3339, or "".
func (s *State) Append(dst []byte, lastActive string) []byte {
	dst = append(dst, `<state xmlns="`+StateSpace+`" xmlns:xsi="`+xsiSpace+`"`...)
	dst = xmldoc.AppendAttr(dst, "xsi:type", s.Type)
	if s.Manual {
		dst = append(dst, ` manual="true"`...)
	}
	if s.StartTime != "" {
		dst = xmldoc.AppendAttr(dst, "startTime", s.StartTime)
	}
	if lastActive != "" {
		dst = xmldoc.AppendAttr(dst, "lastActive", lastActive)
	}
	dst = append(dst, "><availability>"...)
	dst = append(strconv.AppendInt(dst, int64(s.Availability), 10), "</availability>"...)
	if a := s.Activity; a != nil {
		dst = append(dst, "<activity"...)
		if a.Token != "" {
			dst = xmldoc.AppendAttr(dst, "token", a.Token)
		}
		if a.Min > 0 {
			dst = xmldoc.AppendAttr(dst, "minAvailability", strconv.Itoa(a.Min))
		}
		if a.Max > 0 {
			dst = xmldoc.AppendAttr(dst, "maxAvailability", strconv.Itoa(a.Max))
		}
		if len(a.Custom) == 0 {
			dst = append(dst, "/>"...)
		} else {
			dst = append(dst, '>')
			for _, c := range a.Custom {
				dst = c.AppendInside(dst, StateSpace)
			}
			dst = append(dst, "</activity>"...)
		}
	}
	for _, e := range s.Place {
		dst = e.AppendInside(dst, StateSpace)
	}
	if s.End != "" {
		dst = xmldoc.AppendElement(dst, "end", s.End)
	}
	return append(dst, "</state>"...)
}
