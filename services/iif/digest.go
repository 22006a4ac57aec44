package iif

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// digestOf is the SHA-256 of all that a year comes to: codes, keys and exact values. It leaves out what a result is looked up by, which is
// positions, snapshot and names, and whatever is written for people: other words say the same, and would make every year another.
func digestOf(w *worked) string {
	d := digester{body: make([]byte, 0, 1<<14)}
	y := w.result
	d.text("1", w.pcn, w.payer, w.year.String(), w.on.String(), y.VersionID, string(w.listOf.Kind), w.listOf.On.String())
	d.number(int64(w.terms.Version.Rounding.Mode), flag(w.terms.Version.Rounding.PointsFirst), int64(y.Due), int64(y.Measured))
	d.exact(w.list.Value, y.Points, y.Available)
	d.texts(w.members, w.incomplete, y.Missing, y.Ignored)
	for _, code := range slices.Sorted(maps.Keys(w.differences)) {
		for _, different := range w.differences[code] {
			d.text(code)
			d.number(different.Summed.N, different.Stated.N)
		}
	}
	d.number(int64(len(y.Refused)))
	for _, refused := range y.Refused {
		d.text(refused.Code)
		d.refusal(refused.Why)
	}
	for i := range y.Results {
		d.result(&y.Results[i])
	}
	sum := sha256.Sum256(d.body)
	return hex.EncodeToString(sum[:])
}

// digester writes values one after another, each with its length.
type digester struct{ body []byte }

func flag(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

func (d *digester) number(values ...int64) {
	for _, value := range values {
		d.body = binary.AppendVarint(d.body, value)
	}
}

func (d *digester) text(values ...string) {
	for _, value := range values {
		d.body = binary.AppendUvarint(d.body, uint64(len(value)))
		d.body = append(d.body, value...)
	}
}

func (d *digester) texts(lists ...[]string) {
	for _, list := range lists {
		d.number(int64(len(list)))
		d.text(list...)
	}
}

func (d *digester) exact(values ...*big.Rat) {
	for _, value := range values {
		if value == nil {
			d.number(-2)
			continue
		}
		d.number(int64(value.Sign()))
		for _, part := range []*big.Int{value.Num(), value.Denom()} {
			size := (part.BitLen() + 7) / 8
			d.number(int64(size))
			at := len(d.body)
			d.body = slices.Grow(d.body, size)[:at+size]
			part.FillBytes(d.body[at:])
		}
	}
}

func (d *digester) refusal(why *fault.Fault) {
	if why == nil {
		d.number(0)
		return
	}
	d.number(1)
	d.text(why.Reason)
}

func (d *digester) result(r *rules.Result) {
	d.text(r.Code, r.IndicatorID, string(r.Status), r.OverrideID)
	d.number(flag(r.Counted), int64(r.Measure.Answer))
	d.exact(r.Measure.Value, r.Measure.Numerator, r.Measure.Denominator, r.Measure.Unadjusted, r.ListSize, r.Prevalence)
	d.texts(r.Notes)
	d.payment(&r.Due)
	if r.OverrideID != "" {
		d.payment(&r.Measured)
	}
	for i := range r.Tests {
		d.text(string(r.Tests[i].Outcome))
		d.texts(r.Tests[i].Reasons)
	}
}

// payment writes a payment with what went into it. Of figures and settings it says which versions they are; of counts and lists what
// they are, not where they were read.
func (d *digester) payment(p *rules.Payment) {
	d.exact(p.Points)
	d.number(int64(p.Amount), int64(p.Confidence))
	d.refusal(p.Refused)
	if p.Working == nil {
		return
	}
	d.number(int64(len(p.Working.Inputs)))
	for i := range p.Working.Inputs {
		in := &p.Working.Inputs[i]
		d.exact(in.Value)
		d.number(int64(in.Origin.Kind), int64(in.Origin.Confidence))
		if in.Origin.Kind == working.FromRate || in.Origin.Kind == working.FromSetting {
			d.text(in.Origin.Ref)
		}
	}
}
