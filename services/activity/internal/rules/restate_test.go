package rules

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCauses_AreWhatBothVersionsNeeded(t *testing.T) {
	t.Parallel()
	price := func(id, hrg string, gbp int64) Price {
		return Price{Figure: Figure{ID: id}, List: "tariff-2020-21", HRG: hrg, Amount: big.NewRat(gbp, 1)}
	}
	prices := []Price{price("a1", "VB05Z", 100), price("a2", "VB05Z", 120), price("a3", "VB05Z", 120), price("b1", "VB09Z", 50)}
	factors := []Factor{{Figure: Figure{ID: "f1"}, Provider: "RH8", Year: 2020, Value: big.NewRat(21, 20)}}
	missing := "price of VB09Z in departments of type 01 by tariff-2020-21"
	for name, c := range map[string]struct {
		was, is Rested
		want    []string
	}{
		"a group that one lacks":     {Rested{Figures: []string{"a1", "b1"}}, Rested{Figures: []string{"a1"}}, nil},
		"a group that one has":       {Rested{Figures: []string{"a1"}}, Rested{Figures: []string{"a1", "b1", "f1"}}, nil},
		"another price":              {Rested{Figures: []string{"a1"}}, Rested{Figures: []string{"a2"}}, []string{"price of VB05Z by tariff-2020-21: £120 after £100"}},
		"the same from elsewhere":    {Rested{Figures: []string{"a2"}}, Rested{Figures: []string{"a3"}}, []string{"price of VB05Z by tariff-2020-21: £120 as before, from another entry"}},
		"a price that was missing":   {Rested{Missing: []string{missing}}, Rested{Figures: []string{"b1"}}, []string{"price of VB09Z by tariff-2020-21: £50, which was missing"}},
		"a price taken back":         {Rested{Figures: []string{"b1"}}, Rested{Missing: []string{missing}}, []string{"price of VB09Z by tariff-2020-21: missing after £50"}},
		"another list's is no cause": {Rested{Missing: []string{missing + "-x"}}, Rested{Figures: []string{"b1"}}, nil},
	} {
		require.Equal(t, c.want, FigureCauses(&c.was, &c.is, prices, factors), name)
	}
	settings := []Setting{
		{ID: "s1", Name: SettingCategory, Subject: "02", Value: "FIRST"},
		{ID: "s2", Name: SettingCategory, Subject: "02", Value: "UNKNOWN"},
		{ID: "s3", Name: SettingCategory, Subject: "03", Value: "FIRST"},
		{ID: "s4", Name: SettingListDate, Subject: "2020-21", Value: "2020-01-01"},
	}
	require.Equal(t, []string{"meaning of the category 02: UNKNOWN after FIRST"},
		CategoryCauses(&Rested{Settings: []string{"s1", "s4"}}, &Rested{Settings: []string{"s2", "s3"}}, settings))
}
