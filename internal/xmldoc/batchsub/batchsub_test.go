package batchsub

import (
	"reflect"
	"testing"
)

const sample = `<batchSub xmlns="http://schemas.microsoft.com/2006/01/sip/batch-subscribe" uri="sip:alice@example.test" name="">
<action name="subscribe" id="63792024">
<adhocList><resource uri="sip:bob@example.test"/><resource uri="sip:carol@example.test"><context/></resource></adhocList>
<categoryList xmlns="http://schemas.microsoft.com/2006/09/sip/categorylist">
<category name="calendarData"/><category name="state"/>
</categoryList></action></batchSub>`

func TestParse(t *testing.T) {
	b, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := &Batch{"sip:alice@example.test", "subscribe", "63792024",
		[]Resource{{"sip:bob@example.test", false}, {"sip:carol@example.test", true}}, []string{"calendarData", "state"}}
	if !reflect.DeepEqual(b, want) {
		t.Errorf("read %+v", b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := Parse(in)
		if err != nil {
			return
		}
		again, err := Parse(b.Append(nil))
		if err != nil || !reflect.DeepEqual(b, again) {
			t.Fatalf("%v: %+v became %+v", err, b, again)
		}
	})
}
