// Stands in for the rule generator's own validation: instead of checking each case, it writes it
// down with what the module's detector says of it, one JSON object a line, to $CORPUS.
package utils

import (
	"encoding/json"
	"os"
	"sort"
	"strings"

	"github.com/zricethezav/gitleaks/v8/cmd/generate/config/base"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
)

type labelled struct {
	Rule     string   `json:"rule"`
	Path     string   `json:"path,omitempty"`
	Text     string   `json:"text"`
	Expected bool     `json:"expected"`
	Secrets  []string `json:"secrets,omitempty"`
}

func record(rule *config.Rule, path string, text string, expected bool) {
	d := createSingleRuleDetector(rule)
	line := labelled{Rule: rule.RuleID, Path: path, Text: text, Expected: expected}
	for _, f := range d.Detect(detect.Fragment{Raw: text, FilePath: path}) {
		line.Secrets = append(line.Secrets, f.Secret)
	}
	file, err := os.OpenFile(os.Getenv("CORPUS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	out := json.NewEncoder(file)
	out.SetEscapeHTML(false)
	if err := out.Encode(line); err != nil {
		panic(err)
	}
}

func Validate(rule config.Rule, truePositives []string, falsePositives []string) *config.Rule {
	for _, text := range truePositives {
		record(&rule, "", text, true)
	}
	for _, text := range falsePositives {
		record(&rule, "", text, false)
	}
	return &rule
}

func ValidateWithPaths(rule config.Rule, truePositives map[string]string, falsePositives map[string]string) *config.Rule {
	for _, path := range sorted(truePositives) {
		record(&rule, path, truePositives[path], true)
	}
	for _, path := range sorted(falsePositives) {
		record(&rule, path, falsePositives[path], false)
	}
	return &rule
}

func sorted(cases map[string]string) []string {
	paths := make([]string, 0, len(cases))
	for path := range cases {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	return paths
}

func createSingleRuleDetector(r *config.Rule) *detect.Detector {
	unique := make(map[string]struct{})
	var keywords []string
	for _, keyword := range r.Keywords {
		keyword = strings.ToLower(keyword)
		if _, ok := unique[keyword]; !ok {
			keywords = append(keywords, keyword)
			unique[keyword] = struct{}{}
		}
	}
	r.Keywords = keywords
	cfg := base.CreateGlobalConfig()
	cfg.Rules = map[string]config.Rule{r.RuleID: *r}
	cfg.Keywords = unique
	for _, a := range cfg.Allowlists {
		if err := a.Validate(); err != nil {
			panic(err)
		}
	}
	return detect.NewDetector(cfg)
}
