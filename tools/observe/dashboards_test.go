package observe

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dashboard is what is looked at of a Grafana dashboard.
type dashboard struct {
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name  string `json:"name"`
			Type  string `json:"type"`
			Query any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	GridPos     struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Targets []struct {
		RefID string `json:"refId"`
		Expr  string `json:"expr"`
	} `json:"targets"`
}

var (
	interval = regexp.MustCompile(`\[\$__(rate_)?interval\]`)
	variable = regexp.MustCompile(`\$\{?\w+\}?`)
)

// TestDashboards_AskForWhatThereIs reads every dashboard as Grafana would.
func TestDashboards_AskForWhatThereIs(t *testing.T) {
	files, err := filepath.Glob(deployed + "/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no dashboards", err)
	}
	listed, uids := documented(t), make(map[string]bool)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var d dashboard
			if err := json.Unmarshal(content, &d); err != nil {
				t.Fatal(err)
			}
			if d.UID == "" || uids[d.UID] || d.Title == "" || d.SchemaVersion < 39 {
				t.Errorf("uid %q of its own, title %q and a current schema (%d) are needed", d.UID, d.Title, d.SchemaVersion)
			}
			uids[d.UID] = true
			ids := make(map[int]bool)
			for i, p := range d.Panels {
				if ids[p.ID] || p.ID == 0 || p.Title == "" {
					t.Errorf("panel %d (%q) needs an id of its own and a title", p.ID, p.Title)
				}
				ids[p.ID] = true
				g := p.GridPos
				if g.W == 0 || g.H == 0 || g.X+g.W > 24 {
					t.Errorf("panel %q does not fit the grid", p.Title)
				}
				for _, other := range d.Panels[:i] {
					if o := other.GridPos; g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H {
						t.Errorf("panels %q and %q overlap", p.Title, other.Title)
					}
				}
				if p.Type == "row" {
					continue
				}
				if len(p.Targets) == 0 {
					t.Errorf("panel %q asks for nothing", p.Title)
				}
				for _, target := range p.Targets {
					query := variable.ReplaceAllString(interval.ReplaceAllString(target.Expr, "[5m]"), ".+")
					if target.RefID == "" || strings.Contains(query, "$") {
						t.Errorf("panel %q: %s", p.Title, target.Expr)
					}
					for _, metric := range strangers(t, query, listed) {
						t.Errorf("panel %q asks for %s, which docs/observability.md does not list", p.Title, metric)
					}
				}
			}
		})
	}
}
