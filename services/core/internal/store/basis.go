package store

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

// BasisToProto writes a basis as its message; nil for a line that has none.
func BasisToProto(b *rules.Basis) *typev1.LineBasis {
	if b == nil {
		return nil
	}
	out := &typev1.LineBasis{
		Factors: make([]*typev1.BasisFactor, len(b.Factors)), Instalments: int32(b.Instalments), //nolint:gosec // months of a period
		Convention: b.Convention.String(), Clause: b.Clause,
	}
	if b.Share != nil {
		out.Share = money.Format(b.Share)
	}
	for i := range b.Factors {
		f := &b.Factors[i]
		out.Factors[i] = &typev1.BasisFactor{
			RateGbp: money.Format(f.RateGBP), Per: f.Per, Quantity: money.Format(f.Quantity), Unit: f.Unit,
			RateId: f.Origin.Ref, Source: f.Origin.Source, Confidence: working.ConfidenceToProto(f.Origin.Confidence), Clause: f.Clause,
		}
	}
	return out
}

// marshalBasis returns what is stored of a basis; nil for a line without one.
func marshalBasis(b *rules.Basis) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(BasisToProto(b))
}

// readBasis reads what is stored of a basis; nil for a line without one.
func readBasis(stored []byte) (*rules.Basis, error) {
	if len(stored) == 0 {
		return nil, nil //nolint:nilnil // a line without a basis is no fault
	}
	var in typev1.LineBasis
	if err := proto.Unmarshal(stored, &in); err != nil {
		return nil, err
	}
	out := &rules.Basis{Factors: make([]rules.Factor, len(in.GetFactors())), Instalments: int(in.GetInstalments()), Clause: in.GetClause()}
	var err error
	if in.GetConvention() != "" {
		if out.Convention, err = rules.ParseConvention(in.GetConvention()); err != nil {
			return nil, err
		}
	}
	if in.GetShare() != "" {
		if out.Share, err = money.ParseExact(in.GetShare()); err != nil {
			return nil, fmt.Errorf("share: %w", err)
		}
	}
	for i, f := range in.GetFactors() {
		if out.Factors[i], err = readFactor(f); err != nil {
			return nil, fmt.Errorf("factor %d: %w", i+1, err)
		}
	}
	return out, nil
}

func readFactor(in *typev1.BasisFactor) (rules.Factor, error) {
	out := rules.Factor{
		Per: in.GetPer(), Unit: in.GetUnit(), Clause: in.GetClause(),
		Origin: working.Origin{
			Kind: working.FromRate, Ref: in.GetRateId(), Source: in.GetSource(), Confidence: working.ConfidenceFromProto(in.GetConfidence()),
		},
	}
	var err error
	if out.RateGBP, err = money.ParseExact(in.GetRateGbp()); err != nil {
		return out, err
	}
	out.Quantity, err = money.ParseExact(in.GetQuantity())
	return out, err
}
