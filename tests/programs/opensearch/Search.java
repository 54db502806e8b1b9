import static org.codelibs.opensearch.runner.OpenSearchRunner.newConfigs;

import org.codelibs.opensearch.runner.OpenSearchRunner;

/** Search FOLDER PORT: one node of OpenSearch, with its files in a folder. */
public final class Search {
    public static void main(String[] words) throws Exception {
        var runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> settings.put("http.port", words[1]))
            .build(newConfigs().basePath(words[0]).numOfNode(1).useLogger().clusterName("receiver"));
        System.out.println("ready");
        Thread.sleep(Long.MAX_VALUE);
    }
}
